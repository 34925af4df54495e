"""Numbers of calls out of the reports of several runs, each of which compared a share of them."""

import math
from collections.abc import Sequence
from typing import Any

from hx._verify.measure import CallNumbers, PortDifference
from hx.records.verify import Numbers, VerifyEntry, VerifyReport
from hx_extractor import Difference
from hx_sidecar_schema import ModuleCall, Sidecar


def numbers_of(reports: Sequence[VerifyReport], sidecar: Sidecar) -> list[CallNumbers]:
    """Return the numbers of all calls: of each those of the run that compared it, or that says why it could not."""
    numbers: list[CallNumbers] = []
    for row, call in enumerate(sidecar.calls):
        entries = [report.calls[row] for report in reports]
        numbers.append(_numbers(max(entries, key=lambda entry: _says(entry, call)), call))
    return numbers


def _says(entry: VerifyEntry, call: ModuleCall) -> tuple[bool, bool]:
    return entry.local is not None or entry.accumulated is not None, entry.reason != call.reason


def _numbers(entry: VerifyEntry, call: ModuleCall) -> CallNumbers:
    carriers = {port.name: port.carrier for port in call.inputs}
    return CallNumbers(
        local=_difference(entry.local),
        accumulated=_difference(entry.accumulated),
        reason="" if entry.reason == call.reason else entry.reason,
        borrowed={name: carriers[name] for name in entry.inputs_from_onnx},
        epsilon=entry.epsilon,
        recomputed=entry.nodes_of_others,
        refused=entry.refused,
    )


def _difference(numbers: Numbers | None) -> PortDifference | None:
    """Return numbers as they were measured: a record has null for those that are infinite, and for a cosine that is none."""
    if numbers is None:
        return None
    fields: dict[str, Any] = numbers.model_dump(exclude={"port"})
    missing: dict[str, Any] = {
        name: math.nan if name == "cosine_similarity" else math.inf for name in fields if fields[name] is None
    }
    return numbers.port, Difference(**(fields | missing))
