"""When the nodes of a model run, in steps of its module calls, and where it can be cut."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import onnx_ir as ir

from hx_graph import output_of, reads
from hx_sidecar_schema import HxError, Sidecar


@dataclass(frozen=True)
class Timeline:
    """The nodes of the main graph in steps: step `2 * row` is a call that calls no others, `2 * row - 1` what is done before it.

    No node reads what a later step makes. What a call that calls others does itself, and what it only prepares, runs as late as
    its readers let it: so each cut before a step tears only calls that call others.
    """

    sidecar: Sidecar
    nodes: Sequence[ir.Node]
    """In graph order."""
    reads: Sequence[Sequence[str]]
    """What each node reads, its bodies included."""
    owners: Sequence[int]
    """Rows of the calls that own the nodes."""
    steps: Sequence[int]
    """Of each node."""

    @cached_property
    def taken(self) -> list[int]:
        """The steps at which something runs, in order: before each but the first the model can be cut."""
        return sorted(set(self.steps))

    def begins(self, step: int) -> int:
        """Return the row of the first call that begins behind a cut, with those around it; one more than any row if none does."""
        before = self.taken[self.taken.index(step) - 1]
        row = (step + 1) // 2
        if row == len(self.sidecar.calls):
            return row
        while (parent := self.sidecar.calls[row].parent) is not None and 2 * parent > before:
            row = parent
        return row

    def place_of(self, row: int) -> int:
        """Return the step before which a stage ends that shall begin with a call.

        Raises:
            HxError: HX416 if the call runs nothing in the main graph that is not read before, or is the first that runs.
        """
        call = self.sidecar.calls[row]
        tag, mine = self.sidecar.tag(call), range(row, self.sidecar.subtree_end[row])
        runs = (owner in mine and step >= 2 * row for owner, step in zip(self.owners, self.steps, strict=True))
        if not any(runs):
            message = f"No stage can begin with call {tag!r}: {self._reason(row)}"
            raise HxError(message, code="HX416", hint="Name a call around it, or one of its neighbours.", argument="at")
        found = bisect_left(self.taken, 2 * row)
        if found == 0:
            message = f"No stage can begin with call {tag!r}: it is the first that runs, and a stage before it would hold nothing."
            raise HxError(message, code="HX416", hint="Leave it out: the first stage begins with it.")
        return self.taken[found]

    def _reason(self, row: int) -> str:
        mine = range(row, self.sidecar.subtree_end[row])
        owned = [node for node in self.sidecar.nodes if node.owner in mine]
        if owned and all(node.graph for node in owned):
            return f"all that it does is in the body {owned[0].graph!r}, which runs as a whole."
        for node in owned:
            for owner, names in zip(self.owners, self.reads, strict=True):
                if node.output in names and owner not in mine:
                    reader = self.sidecar.tag(self.sidecar.calls[owner])
                    return f"its value {node.output!r} is read before, at {reader!r}."
        return self.sidecar.calls[row].reason or "it has no node of its own."


def timeline(model: ir.Model, sidecar: Sidecar) -> Timeline:
    """Return when the nodes of a model run; nodes are in topological order, as `read_model` brings them."""
    nodes = list(model.graph)
    read = [reads(node) for node in nodes]
    rows = {row.output: row.owner for row in sidecar.nodes if not row.graph}
    owners = [rows[output_of(node)] for node in nodes]
    readers: dict[str, list[int]] = {}
    steps = [0] * len(nodes)
    for index in range(len(nodes) - 1, -1, -1):
        owner = owners[index]
        end = sidecar.subtree_end[owner]
        step = 2 * owner if end == owner + 1 else 2 * end - 1
        for out in nodes[index].outputs:
            for reader in readers.get(out.name or "", ()):
                step = min(step, steps[reader], 2 * _outermost(owners[reader], owner, sidecar) - 1)
        steps[index] = step
        for name in read[index]:
            readers.setdefault(name, []).append(index)
    return Timeline(sidecar, nodes, read, owners, steps)


def _outermost(row: int, outside: int, sidecar: Sidecar) -> int:
    """Return the row of the outermost of a call and those around it of which another call is no part; one more than any row if it is part of that call."""
    if row <= outside < sidecar.subtree_end[row]:
        return len(sidecar.calls) + 1
    while (parent := sidecar.calls[row].parent) is not None and not parent <= outside < sidecar.subtree_end[parent]:
        row = parent
    return row


def crossing(timeline: Timeline, size_bytes: Mapping[str, int | None]) -> list[int]:
    """Return for each cut the bytes of the values that are made before and read behind; of unknown ones as of the largest known."""
    made = {out.name: step for node, step in zip(timeline.nodes, timeline.steps, strict=True) for out in node.outputs}
    last: dict[str, int] = {}
    for step, names in zip(timeline.steps, timeline.reads, strict=True):
        for name in names:
            if name in made:
                last[name] = max(last.get(name, step), step)
    unknown = max((size for size in size_bytes.values() if size is not None), default=1)
    sizes = ((name, size_bytes.get(name)) for name in last)
    return _over(timeline, ((made[name], last[name], unknown if size is None else size) for name, size in sizes))


def torn(timeline: Timeline) -> list[int]:
    """Return for each cut the number of calls that have nodes on both sides."""
    spans: dict[int, tuple[int, int]] = {}
    for owner, step in zip(timeline.owners, timeline.steps, strict=True):
        row: int | None = owner
        while row is not None:
            first, last = spans.get(row, (step, step))
            spans[row] = min(first, step), max(last, step)
            row = timeline.sidecar.calls[row].parent
    return _over(timeline, ((*span, 1) for span in spans.values()))


def _over(timeline: Timeline, spans: Iterable[tuple[int, int, int]]) -> list[int]:
    """Return for each cut the sum of the numbers that go from a step before it to one behind."""
    where = {step: position for position, step in enumerate(timeline.taken)}
    changes = [0] * (len(timeline.taken) + 1)
    for first, last, number in spans:
        changes[where[first] + 1] += number
        changes[where[last] + 1] -= number
    return list(accumulate(changes))[1:-1]


def grouped(timeline: Timeline, numbers: Iterable[int]) -> list[int]:
    """Return the sums of numbers of nodes by the steps at which something runs."""
    sums = dict.fromkeys(timeline.taken, 0)
    for step, number in zip(timeline.steps, numbers, strict=True):
        sums[step] += number
    return list(sums.values())
