"""Which node of one graph is the counterpart of which node of another, by colours: what leads to each, and what it leads to.

Colour refinement (Weisfeiler-Lehman), which on a graph without cycles needs one pass: in topological order a node's
forward colour is made of its own signature and the colours of its operands; against that order its backward colour, of its
signature and those of its readers. Graphs that share a table of colours have comparable ones: equal colours mean equal
neighbourhoods all the way.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import onnx_ir as ir

from hx_graph import captures, nested_graphs, operands, output_of
from hx_projector._graph_index import grouped
from hx_projector.comparison.canonical import canonical_form
from hx_projector.comparison.signature import operator_of, outputs_of, plain_attributes, type_of
from hx_projector.comparison.walk import walk_order

MAX_EDITS = 1000
"""Nodes that two sequences may not share; finding them takes time quadratic in this number."""
MAX_ALIGNED = 3000
"""Sequences of up to so many nodes are aligned even where they share fewer, in time quadratic in their length."""

_INPUT, _WEIGHT = -1, -2

Source = tuple[int, Hashable]
"""Where a value comes from: the row of a node and which of its outputs; or `_INPUT` and which; or `_WEIGHT` and its type."""


class ColouredGraph:
    """Nodes of a main graph by row, in the order of the walk from its outputs, with their colours."""

    def __init__(self, graph: ir.Graph, colours: dict[Hashable, int]) -> None:
        """Colour a graph. Graphs that share the table of colours, which grows, have comparable ones."""
        self._colours = colours
        self.nodes = walk_order(graph)
        self.row = {id(node): row for row, node in enumerate(self.nodes)}
        """By the identity of a node."""
        self._inputs = {id(value): index for index, value in enumerate(graph.inputs)}
        self.reads = [[self._source(value) for value in operands(node)] for node in self.nodes]
        """By row, the source of each operand; None where an input is left out."""
        self.outputs = [self._source(value) for value in graph.outputs]
        self.local = [self._colour(_signature(node, graph.opset_imports)) for node in self.nodes]
        """Colours of nodes by themselves."""
        self.forward: list[int] = []
        """Colours by all that leads to a node."""
        for row, local in enumerate(self.local):
            self.forward.append(self._colour(("f", local, self.operand_colours(row))))
        self.backward = self._backward()
        """Colours by all that a node leads to."""

    def name(self, row: int) -> str:
        """Return the first output of a node."""
        return output_of(self.nodes[row])

    def operand_colours(self, row: int) -> Hashable:
        """Return what leads to the operands of a node: equal for nodes that read the same."""
        return tuple([self._source_colour(source) for source in self.reads[row]])

    def _source_colour(self, source: Source | None) -> Hashable:
        if source is None or source[0] < 0:
            return source
        if source[0] >= len(self.forward):
            return "cycle"  # which no valid graph has
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
        """Of an output of a node, the colours of its readers and as which operand they read it."""
        for index, source in enumerate(self.outputs):
            if source is not None:
                uses.setdefault(source, []).append((-1, index))
        for row in reversed(range(len(self.nodes))):
            own = tuple([tuple(sorted(uses.get((row, out), ()))) for out in range(len(self.nodes[row].outputs))])
            colours[row] = self._colour(("b", self.local[row], own))
            for position, source in enumerate(self.reads[row]):
                if source is not None and source[0] >= 0:
                    uses.setdefault(source, []).append((colours[row], position))
        return colours

    def _colour(self, key: Hashable) -> int:
        return self._colours.setdefault(key, len(self._colours))


def _signature(node: ir.Node, opsets: Mapping[str, int]) -> Hashable:
    if not node.attributes:
        return operator_of(node), outputs_of(node)
    bodies = "".join([canonical_form(graph, captures(graph), opsets) for _, graph in nested_graphs(node)])
    return operator_of(node), outputs_of(node), plain_attributes(node, opsets), bodies


def counterparts(a: ColouredGraph, b: ColouredGraph) -> tuple[dict[int, int], list[int], list[int]]:
    """Return rows of `a` with their counterparts in `b`, then the rows of `a` and of `b` that have none.

    Nodes of equal forward colours are paired first, then nodes of equal backward colours. Of the others, nodes that are
    alike by themselves are paired as a longest common subsequence of the rows, which both graphs have in the order of
    the same walk. Where very many are left and few are alike, no more are paired.
    """
    pairs = _equal_colours(a, b)
    left, right = _without(a, pairs), _without(b, pairs.values())
    local = [a.local[row] for row in left], [b.local[row] for row in right]
    common = longest_common(*local, MAX_EDITS)
    if common is None and max(len(left), len(right)) <= MAX_ALIGNED:
        blocks = SequenceMatcher(None, *local, autojunk=False).get_matching_blocks()
        common = [(block.a + offset, block.b + offset) for block in blocks for offset in range(block.size)]
    pairs.update((left[one], right[other]) for one, other in common or ())
    return pairs, _without(a, pairs), _without(b, pairs.values())


def _without(graph: ColouredGraph, paired: Iterable[int]) -> list[int]:
    return sorted(set(range(len(graph.nodes))).difference(paired))


def _equal_colours(a: ColouredGraph, b: ColouredGraph) -> dict[int, int]:
    """Return rows of `a` with the first free row of `b` that has their forward colour, else their backward colour."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    for left, right in ((a.forward, b.forward), (a.backward, b.backward)):
        free = grouped((right[row], row) for row in reversed(range(len(right))) if row not in taken)
        for row, colour in enumerate(left):
            if row not in found and (others := free.get(colour)):
                found[row] = others.pop()
                taken.add(found[row])
    return found


class _Run(NamedTuple):
    """Elements that two sequences share, and the ones before them."""

    left: int
    right: int
    size: int
    before: _Run | None


def longest_common(left: Sequence[int], right: Sequence[int], edits: int) -> list[tuple[int, int]] | None:
    """Return the positions of a longest common subsequence; None where more than `edits` elements are not in it.

    Source: E. W. Myers, An O(ND) Difference Algorithm and Its Variations, 1986.
    """
    nowhere = (-1, None)
    reached: dict[int, tuple[int, _Run | None]] = {1: (0, None)}
    """Of each diagonal, how far along `left` a path gets, and what is shared on it."""
    for count in range(edits + 1):
        for diagonal in range(-count, count + 1, 2):
            below, above = reached.get(diagonal + 1, nowhere), reached.get(diagonal - 1, nowhere)
            start, run = below if above[0] < below[0] else (above[0] + 1, above[1])
            x, y = start, start - diagonal
            while x < len(left) and y < len(right) and left[x] == right[y]:
                x, y = x + 1, y + 1
            run = _Run(start, start - diagonal, x - start, run) if x > start else run
            reached[diagonal] = x, run
            if x >= len(left) and y >= len(right):
                pairs: list[tuple[int, int]] = []
                while run is not None:
                    pairs[:0] = [(run.left + offset, run.right + offset) for offset in range(run.size)]
                    run = run.before
                return pairs
    return None
