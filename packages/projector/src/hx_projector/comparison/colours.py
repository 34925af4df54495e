"""A main graph as rows of numbers, and what can be told of each row from what leads to it and what it leads to."""

from __future__ import annotations

from collections.abc import Hashable

import onnx_ir as ir

from hx_graph import nested_graphs, output_of
from hx_projector.comparison.canonical import canonical_form
from hx_projector.comparison.signature import (
    captures,
    operator_of,
    places,
    plain_attributes,
    type_of,
    walk_order,
)

_INPUT, _WEIGHT = -1, -2

Source = tuple[int, Hashable]
"""Where a value comes from: the row of a node and which of its outputs; or `_INPUT` and which; or `_WEIGHT` and its type."""


class Wiring:
    """Nodes of a main graph by row, in the order of the walk from its outputs, and their colours: what leads to them (forward), what they lead to (backward).

    Args:
        graph: The graph.
        numbers: Of what was met; two graphs that share it have comparable colours.
    """

    def __init__(self, graph: ir.Graph, numbers: dict[Hashable, int]) -> None:
        self._numbers = numbers
        self.nodes = walk_order(graph)
        self.row = {id(node): row for row, node in enumerate(self.nodes)}
        self._inputs = {id(value): index for index, value in enumerate(graph.inputs)}
        self.reads = [[self._source(value) for value in places(node)] for node in self.nodes]
        """Where each place of each node reads from; None where an input is left out."""
        self.outputs = [self._source(value) for value in graph.outputs]
        self.local = [self._number(_by_itself(node)) for node in self.nodes]
        self.forward: list[int] = []
        for row, local in enumerate(self.local):
            self.forward.append(self._number(("f", local, self.origins(row))))
        self.backward = self._backward()

    def name(self, row: int) -> str:
        """Return the first output of a node."""
        return output_of(self.nodes[row])

    def origins(self, row: int) -> Hashable:
        """Return what leads to the places of a node."""
        return tuple([self.origin(source) for source in self.reads[row]])

    def origin(self, source: Source | None) -> Hashable:
        """Return what leads to a value."""
        if source is None or source[0] < 0:
            return source
        if source[0] >= len(self.forward):
            return "circle"
        return self.forward[source[0]], source[1]

    def _source(self, value: ir.Value | None) -> Source | None:
        if value is None:
            return None
        producer = value.producer()
        if producer is not None and id(producer) in self.row:
            return self.row[id(producer)], value.index()
        if id(value) in self._inputs:
            return _INPUT, self._inputs[id(value)]
        return _WEIGHT, type_of(value)

    def _backward(self) -> list[int]:
        colours = [0] * len(self.nodes)
        uses: dict[Source, list[tuple[int, int]]] = {}
        for index, source in enumerate(self.outputs):
            if source is not None:
                uses.setdefault(source, []).append((-1, index))
        for row in range(len(self.nodes) - 1, -1, -1):
            own = [tuple(sorted(uses.get((row, index), ()))) for index in range(len(self.nodes[row].outputs))]
            colours[row] = self._number(("b", self.local[row], tuple(own)))
            for place, source in enumerate(self.reads[row]):
                if source is not None and source[0] >= 0:
                    uses.setdefault(source, []).append((colours[row], place))
        return colours

    def _number(self, key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


def _by_itself(node: ir.Node) -> Hashable:
    if not node.attributes:
        return operator_of(node), len(node.outputs)
    bodies = "".join([canonical_form(graph, captures(graph)) for _, graph in nested_graphs(node)])
    return operator_of(node), len(node.outputs), plain_attributes(node), bodies
