"""Which kernels ran inside which: the time of a control-flow node contains that of the kernels in its bodies."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence

from hx_profiler._trace import Event, Key
from hx_profiler.attribution.match import ExecutedNode


def containers(
    events: Sequence[Event], nodes: Sequence[ExecutedNode], matched: Mapping[Key, Sequence[int]]
) -> list[int | None]:
    """Return for each event the position of the event that it ran inside; None where it ran inside none.

    The graph says which control-flow node a kernel is in; of several executions of that node, it is in the last one that
    had begun. Where the kernel's node is not known, it is in any control-flow node that was running.

    Args:
        events: In order of their start.
        nodes: Nodes of the graph that ran.
        matched: Positions of the nodes that each key may be, as `match` returns them.
    """
    control = [position for position, node in enumerate(nodes) if node.has_bodies]
    around: list[int | None] = [None] * len(events)
    if not control:
        return around
    runs: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, event in enumerate(events):
        for position in matched[event.key]:
            if nodes[position].has_bodies:
                runs[event.run, position].append(index)
    for index, event in enumerate(events):
        positions = matched[event.key]
        candidates = {c for p in positions if (c := nodes[p].container) is not None} if positions else set(control)
        for position in candidates:
            found = runs[event.run, position]
            last = bisect_right(found, event.start_us, key=lambda other: events[other].start_us) - 1
            while last >= 0 and found[last] == index:
                last -= 1
            if last < 0:
                continue
            outer = found[last]
            # Both ends are cut to whole microseconds.
            inside = event.start_us + event.duration_us <= events[outer].start_us + events[outer].duration_us + 1
            if inside and (around[index] is None or events[outer].start_us >= events[around[index] or 0].start_us):
                around[index] = outer
    return around


def self_times(events: Sequence[Event], around: Sequence[int | None]) -> list[int]:
    """Return the duration of each event without those directly inside it, in microseconds.

    The sum is that of the events which ran inside none.
    """
    own = [event.duration_us for event in events]
    for index, outer in enumerate(around):
        if outer is not None:
            own[outer] -= events[index].duration_us
    return own
