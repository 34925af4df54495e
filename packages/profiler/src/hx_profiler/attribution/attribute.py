"""Time by module call, from the kernels of a trace and the sidecar of the graph that ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from hx_profiler._records import CallTime, Kernel, Profile, Settings
from hx_profiler._trace import Key, Trace
from hx_profiler.attribution.match import ExecutedNode, executed_nodes, match
from hx_profiler.attribution.nesting import containers, self_times
from hx_sidecar_schema import Sidecar, depths

Times = NDArray[np.int64]


@dataclass(frozen=True)
class Measurement:
    """A profile, with the events behind it.

    Attributes:
        profile: Sums over all measured runs.
        trace: The measured runs.
        kernels: For each event of the trace, the position of its kernel in `profile.kernels`.
        around: For each event, the position of the event that it ran inside; None where it ran inside none.
        self_us: For each event, its duration without that of the events directly inside.
    """

    profile: Profile
    trace: Trace
    kernels: list[int]
    around: list[int | None]
    self_us: list[int]


@dataclass(frozen=True)
class _Owner:
    node: str | None = None
    call: int | None = None
    covers: tuple[int, ...] = ()
    confidence: str | None = None
    reason: str = ""


def attribute(
    trace: Trace,
    executed: ir.Model,
    sidecar: Sidecar,
    *,
    model: str,
    settings: Settings | None = None,
    notes: Sequence[str] = (),
) -> Measurement:
    """Attribute the time of every kernel to a module call.

    The time of a node that stands for several calls counts for the innermost call around them all. A kernel whose node
    or call is not known is unattributed; its time never counts for the root.

    Args:
        trace: The measured runs, without the warm-up.
        executed: The graph that the session executed; only its structure is read.
        sidecar: The sidecar of that graph.
        model: Name of the model, for the record.
        settings: How ONNX Runtime ran it.
        notes: Sentences that a reader must know.
    """
    nodes = executed_nodes(executed)
    matched = match(trace, nodes)
    around = containers(trace.events, nodes, matched)
    self_us = self_times(trace.events, around)
    rows = [row for row, call in enumerate(sidecar.calls) if call.status != "not_called"]
    place = {row: position for position, row in enumerate(rows)}
    owners = _Owners(sidecar, nodes, place)
    keys = list(dict.fromkeys(event.key for event in trace.events))
    numbers = {key: number for number, key in enumerate(keys)}
    of_events = [numbers[event.key] for event in trace.events]
    by_run = np.zeros((len(keys), len(trace.runs)), dtype=np.int64)
    for event, number, own in zip(trace.events, of_events, self_us, strict=True):
        by_run[number, event.run] += own
    found = [owners.of(matched[key]) for key in keys]
    kernels = _kernels(trace, keys, of_events, by_run, found)
    calls = _calls(sidecar, rows, place, kernels, by_run)
    low, median, high = np.percentile(by_run.sum(axis=0), (25, 50, 75))
    profile = Profile(
        model=model,
        settings=settings or Settings(),
        runs=len(trace.runs),
        runs_us=[run.duration_us for run in trace.runs],
        kernels_us=sum(event.duration_us for event, outer in zip(trace.events, around, strict=True) if outer is None),
        kernels_median_us=float(median),
        typical_us=sum(kernel.median_us for kernel in kernels),
        kernels_spread_us=float(high - low),
        unattributed_us=sum(kernel.self_us for kernel in kernels if kernel.call is None),
        calls=calls,
        kernels=kernels,
        notes=[*notes, *_notes(trace)],
    )
    return Measurement(profile, trace, of_events, around, self_us)


def _notes(trace: Trace) -> list[str]:
    if not trace.outside:
        return []
    return [f"{trace.outside} kernels of the profile are in no whole run, and are left out."]


class _Owners:
    """Looks up the calls of executed nodes, as positions in the profile."""

    def __init__(self, sidecar: Sidecar, nodes: Sequence[ExecutedNode], place: Mapping[int, int]) -> None:
        self._rows = {(node.graph, node.output): node for node in sidecar.nodes}
        self._nodes = nodes
        self._sidecar = sidecar
        self._place = place

    def of(self, positions: Sequence[int]) -> _Owner:
        """Return the call of a kernel that ran one of these nodes."""
        nodes = [self._nodes[position] for position in positions]
        name = _identity(nodes[0]) if len(nodes) == 1 else None
        rows = [row for node in nodes if (row := self._rows.get((node.graph, node.output))) is not None]
        if not nodes:
            return _Owner(reason="The graph has no such node: ONNX Runtime's own.")
        if len(rows) < len(nodes):
            return _Owner(name, reason="The sidecar does not have this node.")
        owner = self._common([row.owner for row in rows])
        covers = {call for row in rows for call in row.covers}
        reason = ""
        if len(rows) > 1:
            covers |= {row.owner for row in rows} if len({row.owner for row in rows}) > 1 else set()
            reason = f"One of {len(rows)} nodes that the profile does not tell apart."
        return _Owner(
            name,
            self._place.get(owner),
            tuple(sorted(self._place[call] for call in covers if call in self._place)),
            min((row.confidence for row in rows), key=("low", "medium", "high").index),
            reason,
        )

    def _common(self, calls: Sequence[int]) -> int:
        """Return the innermost call around all of these."""
        common = calls[0]
        for call in calls[1:]:
            above = set(self._above(call))
            common = next(one for one in self._above(common) if one in above)
        return common

    def _above(self, call: int) -> list[int]:
        chain = [call]
        while (parent := self._sidecar.calls[chain[-1]].parent) is not None:
            chain.append(parent)
        if chain[-1]:
            chain.append(0)  # the root is around every call
        return chain


def _identity(node: ExecutedNode) -> str:
    return f"{node.graph}:{node.output}" if node.graph else node.output


def _kernels(
    trace: Trace, keys: Sequence[Key], of_events: Sequence[int], by_run: Times, found: Sequence[_Owner]
) -> list[Kernel]:
    totals, executions = [0] * len(keys), Counter(of_events)
    providers: dict[int, str] = {}
    peaks: dict[int, int] = {}
    for event, number in zip(trace.events, of_events, strict=True):
        totals[number] += event.duration_us
        providers.setdefault(number, event.provider)
        if event.peak_memory_bytes is not None:
            peaks[number] = max(peaks.get(number, 0), event.peak_memory_bytes)
    return [
        Kernel(
            name=key.name,
            op_type=key.op_type,
            provider=providers[number],
            node=owner.node,
            call=owner.call,
            covers=list(owner.covers),
            confidence=owner.confidence,
            reason=owner.reason,
            executions=executions[number],
            self_us=int(by_run[number].sum()),
            total_us=totals[number],
            median_us=float(np.median(by_run[number])),
            peak_memory_bytes=peaks.get(number),
        )
        for number, (key, owner) in enumerate(zip(keys, found, strict=True))
    ]


def _calls(
    sidecar: Sidecar, rows: Sequence[int], place: Mapping[int, int], kernels: Sequence[Kernel], by_run: Times
) -> list[CallTime]:
    parents = [None if row == rows[0] else place.get(sidecar.calls[row].parent or 0, 0) for row in rows]
    own = np.zeros((len(rows), by_run.shape[1]), dtype=np.int64)
    own_typical = [0.0] * len(rows)
    spanning, counts = [0] * len(rows), [0] * len(rows)
    peaks: list[int | None] = [None] * len(rows)
    for number, kernel in enumerate(kernels):
        if kernel.call is None:
            continue
        own[kernel.call] += by_run[number]
        own_typical[kernel.call] += kernel.median_us
        counts[kernel.call] += 1
        if len(kernel.covers) > 1:
            spanning[kernel.call] += kernel.self_us
        peaks[kernel.call] = _larger(peaks[kernel.call], kernel.peak_memory_bytes)
    total, below, typical = own.copy(), list(counts), list(own_typical)
    for position in range(len(rows) - 1, 0, -1):  # a parent stands before its children
        parent = parents[position] or 0
        total[parent] += total[position]
        below[parent] += below[position]
        typical[parent] += typical[position]
        peaks[parent] = _larger(peaks[parent], peaks[position])
    everything = int(by_run.sum())
    times = Counter(sidecar.calls[row].module for row in rows)
    levels = depths(parents)
    calls: list[CallTime] = []
    for position, row in enumerate(rows):
        call, module = sidecar.calls[row], sidecar.module_of(sidecar.calls[row])
        low, median, high = np.percentile(total[position], (25, 50, 75))
        calls.append(
            CallTime(
                fqn=module.fqn,
                call=call.index,
                calls=times[call.module],
                tag=sidecar.tag(call),
                class_name=module.class_name,
                parent=parents[position],
                depth=levels[position],
                self_us=int(own[position].sum()),
                total_us=int(total[position].sum()),
                share=int(total[position].sum()) / everything if everything else 0.0,
                median_us=float(median),
                spread_us=float(high - low),
                typical_us=typical[position],
                self_typical_us=own_typical[position],
                kernels=below[position],
                own_kernels=counts[position],
                spanning_us=spanning[position],
                peak_memory_bytes=peaks[position],
            )
        )
    return calls


def _larger(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)
