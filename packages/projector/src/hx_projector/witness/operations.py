"""The operations of one run in PyTorch, by the values of a graph that hold the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hx_projector.witness.values import Values
from hx_sidecar_schema import Observation

REACH = 64
"""Operations that are looked back over for a tensor that was turned and turned back."""


class Observed:
    """Tensors in PyTorch, what they came of, and which values of a graph are equal to them.

    Args:
        observation: Of the run.
        values: Of the graph, on equal inputs.
    """

    def __init__(self, observation: Observation, values: Values) -> None:
        self.operations = observation.operations
        self.names = [values.equal(operation.value) for operation in self.operations]
        """Values that are equal to each tensor."""
        self._rows: dict[str, set[int]] = {}
        for row, names in enumerate(self.names):
            for name in names:
                self._rows.setdefault(name, set()).add(row)
        self.known = set(self._rows)
        """Values that PyTorch knows too."""
        self.known.update(name for port in observation.ports for name in values.equal(port.value))

    def rows(self, name: str) -> set[int] | frozenset[int]:
        """Return the tensors that are equal to a value."""
        return self._rows.get(name, _NONE)

    def calls(self, rows: Iterable[int]) -> set[int]:
        """Return the calls that ran operations."""
        return {call for row in rows if (call := self.operations[row].call) is not None}

    def given(self, rows: Iterable[int]) -> set[int]:
        """Return what operations were given, and behind tensors that are not in the graph what those came of."""
        return {read for row in self._hidden(rows, constants=True) for read in self.operations[row].reads}

    def repeats(self, names: Iterable[str], rows: Collection[int]) -> bool:
        """Say whether a node that stands for operations and reads some values only hands one of them on.

        Not so where an operation was given the others too: that one added a bias of zeros. Nor where it was given a
        tensor of the same numbers: that one made a copy of another type.
        """
        own = {row for row in rows if not self._hands_on(row)}
        same = [name for name in names if not own.isdisjoint(self.rows(name))]
        others = {row for name in names if name not in same for row in self.rows(name)}
        return bool(same) and others.isdisjoint(self.given(rows))

    def alike_before(self, name: str, rows: Collection[int]) -> set[int]:
        """Return the tensors equal to a value that some came of, where no earlier value stands for those.

        Exporters cancel what is turned and turned back: one value is then the tensor before and after.
        """
        wanted = {row for row in self.rows(name) if self._first_name(row) == name} - set(rows)
        found, pending, seen = set[int](), list(rows) if wanted else [], set[int]()
        while pending and len(seen) < REACH:
            row = pending.pop(0)
            if row not in seen:
                seen.add(row)
                found |= {row} & wanted
                pending += self.operations[row].reads
        return found

    def _hands_on(self, row: int) -> bool:
        names = set(self.names[row])
        return any(not names.isdisjoint(self.names[read]) for read in self.operations[row].reads)

    def _first_name(self, row: int) -> str | None:
        return next(iter(self.names[row]), None)

    def covered(self, rows: Iterable[int], *, constants: bool = False) -> set[int]:
        """Return the calls of operations and of those before them whose results are not in the graph.

        Args:
            rows: The operations.
            constants: Those before them that depend on no input of the model too.
        """
        return self.calls(self._hidden(rows, constants=constants))

    def _hidden(self, rows: Iterable[int], *, constants: bool) -> set[int]:
        pending, seen = list(rows), set[int]()
        while pending:
            row = pending.pop()
            if row not in seen:
                seen.add(row)
                pending += [
                    read
                    for read in self.operations[row].reads
                    if not self.names[read] and (constants or self.operations[read].variable)
                ]
        return seen


_NONE: frozenset[int] = frozenset()
