"""Nodes and operations that compute the same tensor, and what lies between those.

One node may stand for several operations (a convolution with the normalisation behind it), several nodes for one (a
product and a sum for a linear layer). So from a tied node we go back on both sides, to the next tensors that both know:
the operations passed are what the nodes passed compute.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from hx_projector._graphs import output_of, reads
from hx_projector._sources import Claim
from hx_projector._tree import CallTree
from hx_projector._witnessed_graph import WitnessedGraph
from hx_sidecar_schema import Observation


class Ties:
    """Nodes with the calls that made them.

    Args:
        graph: The graph with its values.
        observation: Of the run in PyTorch.
        tree: The calls.
    """

    def __init__(self, graph: WitnessedGraph, observation: Observation, tree: CallTree) -> None:
        self._graph = graph
        self._tree = tree
        self._operations = observation.operations
        self._names = [graph.values.equal(operation.value) for operation in self._operations]
        """Values that are equal to what each operation computed."""
        known = {name for names in self._names for name in names}
        known.update(name for port in observation.ports for name in graph.values.equal(port.value))
        self._known = known
        """Values that PyTorch knows too."""
        self._tied = self._find_tied()

    def certain(self) -> dict[str, int]:
        """Return nodes, by their first outputs, that one call alone made."""
        return {key: claim.owner for key, claim in self.claims.items() if claim.confidence == "high"}

    def covered(self, key: str) -> set[int]:
        """Return the calls of the operations that a node may stand for; none of one that is not tied itself."""
        return self._covered(self._tied[key][0]) if key in self._tied else set()

    @cached_property
    def claims(self) -> dict[str, Claim]:
        """Claims for tied nodes, and for the nodes that compute what only PyTorch does in one step."""
        claims: dict[str, Claim] = {}
        between: dict[str, set[int]] = {}
        for key, (operations, telling) in self._tied.items():
            calls = self._covered(operations)
            above = self._untied_above(key)
            # A mask of two values looks like many others: where it lies says more than what it holds. And where nodes
            # above compute what PyTorch holds in another form, some of the operations are theirs.
            sure = telling and (len(calls) == 1 or not above)
            claims[key] = Claim(self._tree.common(calls), "high" if sure else "medium")
            for other in above:
                between.setdefault(other, set()).update(calls)
        for key, calls in between.items():
            claims.setdefault(key, Claim(self._tree.common(calls), "high" if len(calls) == 1 else "medium"))
        self._add_constants(claims)
        return claims

    def _add_constants(self, claims: dict[str, Claim]) -> None:
        """Claim constants for the one call whose nodes read them: they are parts of its operations."""
        readers: dict[str, set[Claim | None]] = {}
        for node in reversed(self._graph.nodes):
            key = output_of(node)
            if key not in claims and not node.inputs:
                found = readers.get(key, set())
                if len(found) == 1 and (claim := next(iter(found))) is not None:
                    claims[key] = claim
            for name in reads(node):
                readers.setdefault(self._graph.key.get(name, ""), set()).add(claims.get(key))

    def _find_tied(self) -> dict[str, tuple[list[int], bool]]:
        """Return nodes with the operations of one call that compute the same, and whether that tells it from others."""
        graph, found = self._graph, {}
        rows: dict[str, list[int]] = {}
        for row, (operation, names) in enumerate(zip(self._operations, self._names, strict=True)):
            for name in names if not operation.value.constant else ():
                if name in graph.key and name not in graph.same_as:
                    rows.setdefault(graph.key[name], []).append(row)
        for key, operations in rows.items():
            if len({self._operations[row].call for row in operations}) == 1:
                telling = key in graph.values.variable and any(
                    len(set(self._operations[row].value.sample)) > 2 for row in operations
                )
                found[key] = (operations, telling)
        return found

    def _covered(self, operations: Iterable[int]) -> set[int]:
        """Return the calls of operations and of those before them whose results are not in the graph."""
        calls: set[int] = set()
        pending, seen = list(operations), set[int]()
        while pending:
            row = pending.pop()
            if row in seen:
                continue
            seen.add(row)
            operation = self._operations[row]
            calls.add(operation.call)
            pending += [
                read for read in operation.reads if self._operations[read].variable and not self._names[read]
            ]
        return calls

    def _untied_above(self, key: str) -> set[str]:
        """Return the nodes that a tied node's inputs come from, back to values that PyTorch knows."""
        graph = self._graph
        found: set[str] = set()
        pending = list(graph.reads[key])
        while pending:
            name = pending.pop()
            above = graph.key.get(name)
            if above is None or name in self._known or above in found or name not in graph.values.variable:
                continue
            found.add(above)
            pending += graph.reads[name]
        return found
