"""The time of a call alone, beside its time in the model, and what makes the difference."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hx_extractor import Hierarchy
from hx_graph import run_session
from hx_profiler._records import Kernel, Profile
from hx_profiler._run import execute, new_session
from hx_profiler.attribution.attribute import attribute
from hx_sidecar_schema import HxError, Record

COLD_BYTES = 256_000_000
"""Memory that is written before each cold run; the last-level caches of the machines that this was tried on are smaller."""


class SpanningKernel(Record):
    """A fused node of the whole model that stands for this call and for others outside of it."""

    name: str
    op_type: str
    median_us: float
    inside: list[str] = Field(description="Tags of the calls of this module's that it stands for.")
    outside: list[str] = Field(description="Tags of the others; its time counts for the call around them all.")


class IsolatedCall(Record):
    """The time of one call in the model and alone, in microseconds: sums of kernels' medians by run, or medians of runs."""

    fqn: str
    call: int
    tag: str
    in_model_us: float = Field(description="Kernels of the call in the whole model.")
    alone_us: float | None = Field(description="Kernels of the call alone; null where it is not extractable.")
    alone_spread_us: float | None = Field(default=None, description="Interquartile range by run.")
    wall_warm_us: float | None = Field(default=None, description="A run alone, without profiling.")
    wall_cold_us: float | None = Field(
        default=None, description="The same, each after the processor's caches were overwritten."
    )
    in_model_kernels: int
    alone_kernels: int | None = None
    more_alone: dict[str, int] = Field(
        default_factory=dict, description="Operators that run alone, and more often than in the model."
    )
    less_alone: dict[str, int] = Field(default_factory=dict, description="The other way round.")
    copied: list[str] = Field(
        default_factory=list, description="First outputs of nodes of other calls that it computes itself when alone."
    )
    spanning: list[SpanningKernel] = Field(default_factory=list)
    reason: str = Field(default="", description="Why it was not timed alone.")


def isolate(
    model: Hierarchy,
    row: int,
    profile: Profile,
    *,
    runs: int = 20,
    warmup: int = 3,
    optimization: str = "all",
    provider: str = "cpu",
    threads: int = 0,
) -> IsolatedCall:
    """Time a call alone, and compare that with its time in the profile of the whole model.

    Args:
        model: The exported model. The call gets what it gets there for the recorded inputs.
        row: Row of the call in the sidecar.
        profile: The profile of the whole model.
        runs: Number of measured runs.
        warmup: Number of runs before them, which are not measured.
        optimization: As `execute` takes it.
        provider: As `execute` takes it.
        threads: As `execute` takes it.
    """
    call = model.sidecar.calls[row]
    module = model.sidecar.module_of(call)
    position = next((i for i, one in enumerate(profile.calls) if (one.fqn, one.call) == (module.fqn, call.index)), None)
    inside = _subtree(profile, position)
    kernels = [kernel for kernel in profile.kernels if kernel.call in inside]
    found = IsolatedCall(
        fqn=module.fqn,
        call=call.index,
        tag=model.sidecar.tag(call),
        in_model_us=profile.calls[position].typical_us if position is not None else 0.0,
        alone_us=None,
        in_model_kernels=len(kernels),
        spanning=[_spanning(profile, kernel, inside) for kernel in profile.kernels if _crosses(kernel, inside)],
    )
    try:
        part = model.extract(row)
        feeds = part.example_inputs()
    except HxError as error:  # a call that cannot run alone still has its time in the model
        return found.model_copy(update={"reason": error.message})
    settings: dict[str, Any] = {"optimization": optimization, "provider": provider, "threads": threads}
    with TemporaryDirectory() as folder:
        execution = execute(part.model, feeds, Path(folder), runs=runs, warmup=warmup, **settings)
    warm, cold = _walls(new_session(part.model, **settings), feeds, runs=runs, warmup=warmup)
    alone = attribute(execution.trace, execution.executed, part.sidecar, model=found.tag).profile
    alone_ops = Counter(kernel.op_type for kernel in alone.kernels)
    model_ops = Counter(kernel.op_type for kernel in kernels)
    return found.model_copy(
        update={
            "alone_us": alone.typical_us,
            "alone_spread_us": alone.kernels_spread_us,
            "wall_warm_us": warm,
            "wall_cold_us": cold,
            "alone_kernels": len(alone.kernels),
            "more_alone": dict(sorted((alone_ops - model_ops).items())),
            "less_alone": dict(sorted((model_ops - alone_ops).items())),
            "copied": sorted(set(part.boundary_operations) & set(part.operations)),
        }
    )


def _subtree(profile: Profile, position: int | None) -> set[int]:
    inside = set() if position is None else {position}
    for number, call in enumerate(profile.calls):
        if call.parent in inside:
            inside.add(number)
    return inside


def _crosses(kernel: Kernel, inside: set[int]) -> bool:
    return kernel.call not in inside and not inside.isdisjoint(kernel.covers)


def _spanning(profile: Profile, kernel: Kernel, inside: set[int]) -> SpanningKernel:
    return SpanningKernel(
        name=kernel.name,
        op_type=kernel.op_type,
        median_us=kernel.median_us,
        inside=[profile.calls[call].tag for call in kernel.covers if call in inside],
        outside=[profile.calls[call].tag for call in kernel.covers if call not in inside],
    )


def _walls(session: Any, feeds: Mapping[str, NDArray[Any]], *, runs: int, warmup: int) -> tuple[float, float]:
    """Return the medians of runs one after the other, and of runs with the caches overwritten before each."""
    other = np.zeros(COLD_BYTES // 8, dtype=np.int64)
    medians: list[float] = []
    for cold in (False, True):
        durations_us: list[float] = []
        for number in range(warmup + runs):
            if cold:
                other += 1
            start = time.perf_counter_ns()
            run_session(session, feeds)
            if number >= warmup:
                durations_us.append((time.perf_counter_ns() - start) / 1000)
        medians.append(float(np.median(durations_us)))
    return medians[0], medians[1]
