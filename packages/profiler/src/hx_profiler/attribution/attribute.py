"""Time by module call, from the kernels of a trace and the sidecar of the graph that ran."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from hx_graph import CallTree
from hx_profiler._records import CallTime, Kernel, Profile, Settings
from hx_profiler._trace import Event, Key, Trace
from hx_profiler.attribution.match import ExecutedNode, containers, executed_nodes, match, self_times
from hx_sidecar_schema import Node, Sidecar, depths, node_name

Times = NDArray[np.int64]


@dataclass(frozen=True)
class Measurement:
    """A profile, with the events of the measured runs behind it."""

    profile: Profile
    trace: Trace
    kernels: list[int]
    """For each event of the trace, the position of its kernel in `profile.kernels`."""
    around: list[int | None]
    """For each event, the position of the event that it ran inside; None where it ran inside none."""
    self_us: list[int]
    """For each event, its duration without that of the events directly inside."""


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
    nodes, events = executed_nodes(executed), trace.events
    matched = match(trace, nodes)
    around = containers(events, nodes, matched)
    self_us = self_times(events, around)
    executions: dict[Key, list[Event]] = defaultdict(list)
    for event in events:
        executions[event.key].append(event)
    numbers = {key: number for number, key in enumerate(executions)}
    of_events = [numbers[event.key] for event in events]
    by_run = np.zeros((len(numbers), len(trace.runs)), dtype=np.int64)
    for event, number, own in zip(events, of_events, self_us, strict=True):
        by_run[number, event.run] += own
    rows = [row for row, call in enumerate(sidecar.calls) if call.status != "not_called"]
    positions = {row: position for position, row in enumerate(rows)}
    known = {node.key: node for node in sidecar.nodes}
    tree = CallTree(sidecar.calls)
    kernels = [
        Kernel(
            name=key.name,
            op_type=key.op_type,
            provider=ran[0].provider,
            executions=len(ran),
            self_us=int(own.sum()),
            total_us=sum(event.duration_us for event in ran),
            median_us=float(typical),
            peak_memory_bytes=_largest(event.peak_memory_bytes for event in ran),
            **_owner([nodes[position] for position in matched[key]], known, tree, positions),
        )
        for (key, ran), own, typical in zip(executions.items(), by_run, np.median(by_run, axis=1), strict=True)
    ]
    low, median, high = np.percentile(by_run.sum(axis=0), (25, 50, 75))
    if trace.outside:
        notes = [*notes, f"{trace.outside} kernels of the profile are in no whole run, and are left out."]
    profile = Profile(
        model=model,
        settings=settings or Settings(),
        runs=len(trace.runs),
        runs_us=[run.duration_us for run in trace.runs],
        kernels_us=sum(event.duration_us for event, outer in zip(events, around, strict=True) if outer is None),
        kernels_median_us=float(median),
        typical_us=sum(kernel.median_us for kernel in kernels),
        kernels_spread_us=float(high - low),
        unattributed_us=sum(kernel.self_us for kernel in kernels if kernel.call is None),
        calls=_calls(sidecar, rows, positions, kernels, by_run),
        kernels=kernels,
        notes=list(notes),
    )
    return Measurement(profile, trace, of_events, around, self_us)


def _owner(
    nodes: Sequence[ExecutedNode], rows: Mapping[tuple[str, str], Node], tree: CallTree, positions: Mapping[int, int]
) -> dict[str, Any]:
    """Return the fields of a kernel that ran one of `nodes` which say whose it is; `positions` are those of calls, by row."""
    if not nodes:
        return {"node": None, "call": None, "reason": "The graph has no such node: ONNX Runtime's own."}
    keys = [(node.graph, node.output) for node in nodes]
    node = node_name(*keys[0]) if len(keys) == 1 else None
    if not all(key in rows for key in keys):
        return {"node": node, "call": None, "reason": "The sidecar does not have this node."}
    found = [rows[key] for key in keys]
    owners = {row.owner for row in found}
    covers = {call for row in found for call in row.covers} | (owners if len(owners) > 1 else set())
    return {
        "node": node,
        "call": positions.get(tree.common(owners)),
        "covers": sorted(positions[call] for call in covers if call in positions),
        "confidence": min((row.confidence for row in found), key=("low", "medium", "high").index),
        "reason": f"One of {len(found)} nodes that the profile does not tell apart." if len(found) > 1 else "",
    }


def _calls(
    sidecar: Sidecar, rows: Sequence[int], positions: Mapping[int, int], kernels: Sequence[Kernel], by_run: Times
) -> list[CallTime]:
    parents = [None if row == rows[0] else positions.get(sidecar.calls[row].parent or 0, 0) for row in rows]
    own: list[list[int]] = [[] for _ in rows]
    for number, kernel in enumerate(kernels):
        if kernel.call is not None:
            own[kernel.call].append(number)
    below = [list(numbers) for numbers in own]
    for position in range(len(rows) - 1, 0, -1):  # a parent stands before its children
        below[parents[position] or 0] += below[position]
    everything = int(by_run.sum())
    times = Counter(sidecar.calls[row].module for row in rows)
    levels = depths(parents)
    totals = np.array([by_run[numbers].sum(axis=0) for numbers in below])
    lows, medians, highs = np.percentile(totals, (25, 50, 75), axis=1)
    calls: list[CallTime] = []
    for position, row in enumerate(rows):
        call, module = sidecar.calls[row], sidecar.module_of(sidecar.calls[row])
        mine, all_below = ([kernels[number] for number in numbers[position]] for numbers in (own, below))
        total_us = int(totals[position].sum())
        calls.append(
            CallTime(
                fqn=module.fqn,
                call=call.index,
                calls=times[call.module],
                tag=sidecar.tag(call),
                class_name=module.class_name,
                parent=parents[position],
                depth=levels[position],
                self_us=sum(kernel.self_us for kernel in mine),
                total_us=total_us,
                share=total_us / everything if everything else 0.0,
                median_us=float(medians[position]),
                spread_us=float(highs[position] - lows[position]),
                typical_us=sum(kernel.median_us for kernel in all_below),
                self_typical_us=sum(kernel.median_us for kernel in mine),
                kernels=len(all_below),
                own_kernels=len(mine),
                spanning_us=sum(kernel.self_us for kernel in mine if len(kernel.covers) > 1),
                peak_memory_bytes=_largest(kernel.peak_memory_bytes for kernel in all_below),
            )
        )
    return calls


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
