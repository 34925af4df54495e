"""The operations of one run in PyTorch, by the values of a graph that hold the same."""

from __future__ import annotations

from collections.abc import Iterable

from hx_projector._values import Values
from hx_sidecar_schema import Observation


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
