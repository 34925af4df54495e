"""Calls whose outputs the exporter merged with equal values of other calls.

Its optimisation eliminates common subexpressions (torch 2.13): of `self.act(x) + x.tanh()` one Tanh is left, which two readers
read. Who puts something else in the place of `act` has to know that the other reader means `x.tanh()`.
"""

from collections.abc import Iterator, Sequence

from hx_sidecar_schema import subtree_ends
from hx_tracer.exporting.raw_graph import RawGraph
from hx_tracer.exporting.survivors import Replacements
from hx_tracer.watch.calls import TracedCall


def merged_calls(calls: Sequence[TracedCall], raw: RawGraph, replacements: Replacements) -> list[list[int]]:
    """Return for each call the rows of the calls outside it that computed one of its outputs too."""
    equal: dict[int, list[int]] = {}
    """Ids of merged values, each with those that it is equal to: one list for all of them."""
    for old, new in replacements.pairs():
        one, other = raw.producer.get(id(old)), raw.producer.get(id(new))
        is_step = one is None or other is None or one.operator != other.operator or new in one.inputs
        if not is_step and id(old) in raw.live:
            members = equal.setdefault(id(new), [id(new)])
            members += (before := equal.get(id(old), [id(old)]))
            equal.update(dict.fromkeys(before, members))
    ends = subtree_ends([call.parent for call in calls])

    def merged(row: int, call: TracedCall) -> Iterator[int]:
        inside = range(row, ends[row])
        for name in call.outputs:
            value = raw.ports.get((row, "outputs", name))
            for step in () if value is None else replacements.of(value):
                maker = raw.producer.get(id(step))
                if maker is None or maker.call not in inside:
                    break  # handed on from outside
                others = (raw.producer[member].call for member in equal.get(id(step), ()))
                yield from (other for other in others if other is not None and other not in inside)

    return [sorted(set(merged(row, call))) for row, call in enumerate(calls)]
