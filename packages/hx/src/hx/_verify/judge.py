"""Comparing an extracted model with its original, and what is said of it in the index."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hx._verify.tolerance import tolerance
from hx.records.reports import ModuleEntry, PortEntry, finite
from hx_extractor import Extraction, Hierarchy
from hx_sidecar_schema import HxError, Port, Sidecar, UnavailableValue


@dataclass(frozen=True)
class Verdict:
    """How far an extracted model is from its original."""

    max_abs_error: float | None = None
    """None where they could not be compared."""
    relative_error: float | None = None
    match: bool = True
    reason: str = ""


Judge = Callable[[Extraction], Verdict]


class OnnxJudge:
    """Compares with the exported model's own values for the recorded inputs.

    Args:
        model: The exported model; it runs once for all calls.
        rows: The calls that will be compared.
    """

    def __init__(self, model: Hierarchy, rows: Sequence[int]) -> None:
        calls = [model.sidecar.calls[row] for row in rows]
        ports = [port for call in calls for port in (*call.inputs, *call.outputs) if not port.unused]
        carriers = dict.fromkeys(port.value or port.initializer for port in ports)
        with suppress(HxError):  # what cannot be computed is reported for the call that needs it
            model.compute(name for name in carriers if name)

    def __call__(self, extraction: Extraction) -> Verdict:
        try:
            extraction.example_inputs()
        except UnavailableValue as error:
            return Verdict(reason=f"Not compared: {error.message}")
        result = extraction.validate()
        return verdict_of(extraction, result.max_abs_error, result.relative_error)


def verdict_of(extraction: Extraction, absolute: float, relative: float) -> Verdict:
    """Judge two errors of an extraction: the largest absolute one, and the largest relative one."""
    graph = extraction.model.graph
    # A graph in half precision may end in single: its Casts round what lies between in both runs in other places.
    inside = (value.dtype for value in (*graph.initializers.values(), *(o for n in graph for o in n.outputs)))
    allowed = tolerance((*(port.dtype for port in extraction.outputs), *inside))
    match = relative <= allowed and math.isfinite(absolute)
    reason = (
        "" if match else f"Differs from its original by {absolute:.1e}, {relative:.1e} of the largest value."
    )
    return Verdict(absolute, relative, match, reason)


def entry_of(
    sidecar: Sidecar,
    row: int,
    file: str | None,
    extraction: Extraction | None,
    verdict: Verdict | None,
    *,
    error: str = "",
) -> ModuleEntry:
    """Return the row of the index for a call.

    Args:
        sidecar: Of the exported model.
        row: The call.
        file: What was written.
        extraction: Where there is one.
        verdict: Where there is one.
        error: Why an extractable call could not be extracted or compared.
    """
    call = sidecar.calls[row]
    failed = bool(error) or (verdict is not None and not verdict.match)
    return ModuleEntry(
        fqn=sidecar.module_of(call).fqn,
        call=call.index,
        tag=sidecar.tag(call),
        file=file,
        status=call.status,
        reason=error or (verdict and verdict.reason) or call.reason,
        inputs=[_port(port) for port in call.inputs],
        outputs=[_port(port) for port in call.outputs],
        nodes=len(extraction.model.graph) if extraction else 0,
        failed=failed,
        max_abs_error=finite(verdict and verdict.max_abs_error),
        relative_error=finite(verdict and verdict.relative_error),
    )


def _port(port: Port) -> PortEntry:
    return PortEntry(
        name=port.name,
        value=port.value or port.initializer,
        dtype=port.dtype,
        shape=port.shape,
        implicit=port.implicit,
        unused=port.unused,
    )
