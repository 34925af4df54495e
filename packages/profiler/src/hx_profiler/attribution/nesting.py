"""What ran inside what: the time of a control-flow node contains that of the kernels in its bodies."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence

from hx_profiler._trace import Event, Key
from hx_profiler.attribution.match import ExecutedNode


def containers(
    events: Sequence[Event], nodes: Sequence[ExecutedNode], matched: Mapping[Key, Sequence[int]]
) -> list[int | None]:
    """Return for each event the one that it ran inside of.

    The graph decides, and time among several runs of one node: a kernel in a body ran in the last run of the body's
    node that had begun. Where a kernel's node is not known, any control-flow node around it in time is taken.

    Args:
        events: In order of their start.
        nodes: Of the graph that ran.
        matched: Nodes that each key can be.
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
    starts = {place: [events[index].start_us for index in found] for place, found in runs.items()}
    for index, event in enumerate(events):
        positions = matched[event.key]
        candidates = (
            {c for p in positions if (c := nodes[p].container) is not None} if positions else set(control)
        )
        for position in candidates:
            place = (event.run, position)
            last = bisect_right(starts.get(place, []), event.start_us) - 1
            while last >= 0 and runs[place][last] == index:
                last -= 1
            if last < 0:
                continue
            outer = runs[place][last]
            # Both ends are cut to whole microseconds.
            inside = (
                event.start_us + event.duration_us <= events[outer].start_us + events[outer].duration_us + 1
            )
            if inside and (
                around[index] is None or events[outer].start_us >= events[around[index] or 0].start_us
            ):
                around[index] = outer
    return around


def self_times(events: Sequence[Event], around: Sequence[int | None]) -> list[int]:
    """Return the duration of each event without those directly inside, in microseconds; their sum is conserved."""
    own = [event.duration_us for event in events]
    for index, outer in enumerate(around):
        if outer is not None:
            own[outer] -= events[index].duration_us
    return own
