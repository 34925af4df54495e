"""The operations of a PyTorch run, matched with the values of a graph that hold the same numbers.

A row is one tensor of the `Observation`: the result of an operation, or a tensor that none made (an input, a parameter).
A fused graph has no value for some of them, so questions about an operation go through those producers too: a
convolution that was fused with its normalisation was, in effect, given what the convolution was given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from hx_projector.witness.graph_run import GraphRun
from hx_sidecar_schema import Observation

REACH = 64
"""Operations that are looked back over for a tensor that was transposed and transposed back."""


class ObservedRun:
    """Rows of an observation and the values of a graph, by equality."""

    def __init__(self, observation: Observation, run: GraphRun) -> None:
        """Match an observation with a run of the graph on equal inputs."""
        self.operations = observation.operations
        self.equal_values = [run.equal_to(operation.value) for operation in self.operations]
        """By row: values that are equal to the tensor, in topological order."""
        self._rows: dict[str, set[int]] = {}
        for row, names in enumerate(self.equal_values):
            for name in names:
                self._rows.setdefault(name, set()).add(row)
        self.values = set(self._rows)
        """Values that are equal to some tensor of PyTorch, ports included."""
        self.values.update(name for port in observation.ports for name in run.equal_to(port.value))

    def rows(self, name: str) -> set[int] | frozenset[int]:
        """Return the rows whose tensors are equal to a value."""
        return self._rows.get(name, _NONE)

    def calls(self, rows: Iterable[int]) -> set[int]:
        """Return the calls that ran operations."""
        return {call for row in rows if (call := self.operations[row].call) is not None}

    def operands(self, rows: Iterable[int]) -> set[int]:
        """Return the rows that operations read; for operands without a value in the graph, also what those read."""
        return {read for row in self._with_fused(rows, constants=True) for read in self.operations[row].reads}

    def spanned_calls(self, rows: Iterable[int], *, constants: bool = False) -> set[int]:
        """Return the calls of operations and of the operations before them that have no value in the graph.

        Args:
            rows: The operations.
            constants: Whether operations that depend on no input of the model count among those before.
        """
        return self.calls(self._with_fused(rows, constants=constants))

    def is_copy(self, names: Iterable[str], rows: Collection[int]) -> bool:
        """Say whether a node that reads some values and equals some rows only hands on one of these values.

        It does not where the operation also read the node's other operands: that one added, say, a bias of zeros. Nor
        where the operation itself read a tensor of the same numbers: that one copied, say to another element type.
        """
        own = {row for row in rows if not self._copies_operand(row)}
        same = [name for name in names if not own.isdisjoint(self.rows(name))]
        others = {row for name in names if name not in same for row in self.rows(name)}
        return bool(same) and others.isdisjoint(self.operands(rows))

    def earlier_equals(self, name: str, rows: Collection[int]) -> set[int]:
        """Return the tensors equal to a value that some rows derive from and that no earlier value is equal to.

        Exporters cancel a transposition and its inverse: one value then is the tensor before and the one after.
        """
        wanted = {row for row in self.rows(name) if self._first_value(row) == name} - set(rows)
        found, pending, seen = set[int](), deque(rows if wanted else ()), set[int]()
        while pending and len(seen) < REACH:
            row = pending.popleft()
            if row not in seen:
                seen.add(row)
                found |= {row} & wanted
                pending += self.operations[row].reads
        return found

    def _copies_operand(self, row: int) -> bool:
        names = set(self.equal_values[row])
        return any(not names.isdisjoint(self.equal_values[read]) for read in self.operations[row].reads)

    def _first_value(self, row: int) -> str | None:
        return next(iter(self.equal_values[row]), None)

    def _with_fused(self, rows: Iterable[int], *, constants: bool) -> set[int]:
        """Return rows and, going back, the operands without a value in the graph."""
        pending, seen = list(rows), set[int]()
        while pending:
            row = pending.pop()
            if row not in seen:
                seen.add(row)
                pending += [
                    read
                    for read in self.operations[row].reads
                    if not self.equal_values[read] and (constants or self.operations[read].variable)
                ]
        return seen


_NONE: frozenset[int] = frozenset()
