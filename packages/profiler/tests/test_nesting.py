"""Time in bodies, however its ends are cut to whole microseconds."""

from __future__ import annotations

from math import floor

from hypothesis import given, strategies as st

from hx_profiler._trace import Event, Key
from hx_profiler.attribution.match import ExecutedNode, containers, self_times

NODES = [
    ExecutedNode("", "l", "loop", "Loop", None, True),
    ExecutedNode("l.body", "i", "if", "If", 0, True),
    ExecutedNode("l.body/i.then_branch", "r", "relu", "Relu", 1, False),
    ExecutedNode("", "t", "tanh", "Tanh", None, False),
]
KEYS = [Key(node.name, node.op_type, number) for number, node in enumerate(NODES)]
times = st.floats(0, 3, allow_nan=False)


@given(st.lists(st.lists(st.tuples(times, times, times), max_size=4), min_size=1, max_size=3), times)
def test_time_is_conserved_and_never_negative(loops, gap):
    events: list[Event] = []
    now = 0.3

    def ran(number, begin, end):
        events.append(Event(KEYS[number], floor(begin), floor(end - begin), 0, "", None))

    for rounds in loops:
        begin = now
        for before, inside, after in rounds:
            branch = now
            ran(2, now + before, now + before + inside)
            now += before + inside + after
            ran(1, branch, now)
        now += gap
        ran(0, begin, now)
        ran(3, now, now + 0.4)
        now += 1.0  # loops do not begin in one microsecond
    events.sort(key=lambda event: event.start_us)
    around = containers(events, NODES, {key: [number] for number, key in enumerate(KEYS)})
    own = self_times(events, around)
    outermost = sum(event.duration_us for event in events if event.key in (KEYS[0], KEYS[3]))
    assert sum(own) == outermost
    for event, outer in zip(events, around, strict=True):
        assert (None if outer is None else events[outer].key) == {
            KEYS[0]: None,
            KEYS[1]: KEYS[0],
            KEYS[2]: KEYS[1],
            KEYS[3]: None,
        }[event.key]
