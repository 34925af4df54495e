"""The time of a call alone, beside its time in the model, and what makes the difference."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
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


class AloneCall(Record):
    """The time of one call alone, in microseconds: sums of kernels' medians by run, or medians of runs."""

    fqn: str
    call: int
    tag: str
    alone_us: float | None = Field(
        default=None, description="Kernels of the call alone; null where it is not extractable."
    )
    alone_spread_us: float | None = Field(default=None, description="Interquartile range by run.")
    wall_warm_us: float | None = Field(default=None, description="A run alone, without profiling.")
    wall_cold_us: float | None = Field(
        default=None, description="The same, each after the processor's caches were overwritten."
    )
    alone_kernels: int | None = None
    alone_operators: dict[str, int] = Field(default_factory=dict, description="Kernels alone, by operator.")
    copied: list[str] = Field(
        default_factory=list, description="First outputs of nodes of other calls that it computes itself when alone."
    )
    reason: str = Field(default="", description="Why it was not timed alone.")


class IsolatedCall(AloneCall):
    """The time of one call alone, beside its time in the model."""

    in_model_us: float = Field(description="Kernels of the call in the whole model.")
    in_model_kernels: int
    more_alone: dict[str, int] = Field(
        default_factory=dict, description="Operators that run alone, and more often than in the model."
    )
    less_alone: dict[str, int] = Field(default_factory=dict, description="The other way round.")
    spanning: list[SpanningKernel] = Field(default_factory=list)


def time_alone(model: Hierarchy, row: int, *, runs: int = 20, warmup: int = 3, **settings: Any) -> AloneCall:
    """Time a call alone; the whole model is not timed.

    Args:
        model: The exported model. The call gets what it gets there for the recorded inputs.
        row: Row of the call in the sidecar.
        runs: Number of measured runs.
        warmup: Number of runs before them, which are not measured.
        settings: `optimization`, `provider` and `threads`, as `execute` takes them.
    """
    call = model.sidecar.calls[row]
    found = AloneCall(fqn=model.sidecar.module_of(call).fqn, call=call.index, tag=model.sidecar.tag(call))
    try:
        part = model.extract(row)
        feeds = part.example_inputs()
    except HxError as error:  # a call that cannot run alone still has its time in the model
        return found.model_copy(update={"reason": error.message})
    with TemporaryDirectory() as folder:
        execution = execute(part.model, feeds, Path(folder), runs=runs, warmup=warmup, **settings)
    session = new_session(part.model, **settings)
    alone = attribute(execution.trace, execution.executed, part.sidecar, model=found.tag).profile
    return found.model_copy(
        update={
            "alone_us": alone.typical_us,
            "alone_spread_us": alone.kernels_spread_us,
            "wall_warm_us": _wall(session, feeds, runs, warmup, cold=False),
            "wall_cold_us": _wall(session, feeds, runs, warmup, cold=True),
            "alone_kernels": len(alone.kernels),
            "alone_operators": _operators(alone.kernels),
            "copied": sorted(set(part.boundary_operations) & set(part.operations)),
        }
    )


def beside_model(alone: AloneCall, profile: Profile) -> IsolatedCall:
    """Compare the time of a call alone with its time in the profile of the whole model."""
    key = alone.fqn, alone.call
    position = next((i for i, one in enumerate(profile.calls) if (one.fqn, one.call) == key), None)
    inside = set() if position is None else {position}
    for number, one in enumerate(profile.calls):
        if one.parent in inside:
            inside.add(number)
    kernels = [kernel for kernel in profile.kernels if kernel.call in inside]
    ran = alone.alone_us is not None
    in_model, by_itself = Counter(_operators(kernels)), Counter(alone.alone_operators)
    return IsolatedCall(
        **dict(alone),
        in_model_us=profile.calls[position].typical_us if position is not None else 0.0,
        in_model_kernels=len(kernels),
        more_alone=dict(by_itself - in_model) if ran else {},
        less_alone=dict(in_model - by_itself) if ran else {},
        spanning=[
            SpanningKernel(
                name=kernel.name,
                op_type=kernel.op_type,
                median_us=kernel.median_us,
                inside=[profile.calls[call].tag for call in kernel.covers if call in inside],
                outside=[profile.calls[call].tag for call in kernel.covers if call not in inside],
            )
            for kernel in profile.kernels
            if kernel.call not in inside and not inside.isdisjoint(kernel.covers)
        ],
    )


def _operators(kernels: Sequence[Kernel]) -> dict[str, int]:
    """Return how many kernels there are of each operator, by its name."""
    return dict(sorted(Counter(kernel.op_type for kernel in kernels).items()))


def _wall(session: Any, feeds: Mapping[str, NDArray[Any]], runs: int, warmup: int, *, cold: bool) -> float:
    """Return the median duration of runs one after the other, each with the caches overwritten before it if `cold`."""
    other = np.zeros(COLD_BYTES // 8, dtype=np.int64)
    durations_us: list[float] = []
    for _ in range(warmup + runs):
        if cold:
            other += 1
        start = time.perf_counter_ns()
        run_session(session, feeds)
        durations_us.append((time.perf_counter_ns() - start) / 1000)
    return float(np.median(durations_us[warmup:]))
