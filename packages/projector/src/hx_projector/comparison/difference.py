"""What two graphs do not share, whatever their nodes and values are called and in whatever order they stand.

A node has a counterpart in the other graph if all that leads to it is alike there, or all that it leads to. So a change in
the middle of a graph concerns neither the nodes before it nor those behind it.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import onnx_ir as ir

from hx_graph import function_path, output_of
from hx_projector.comparison.canonical import first_differing_nodes, function_form, opsets_of, structural_digest
from hx_projector.comparison.matching import ColouredGraph, Source, counterparts
from hx_projector.comparison.signature import attribute_differences, operator_of, type_of


@dataclass(frozen=True)
class GraphDifference:
    """What two models do not share. Nodes are those of the main graph, named by their first outputs."""

    inputs: list[str]
    """What differs between their inputs, in words."""
    outputs: list[str]
    elsewhere: list[str]
    """What differs outside of the main graph, in words: opset imports, functions."""
    operators: dict[str, tuple[int, int]]
    """Operators that the two have in different numbers."""
    only_left: list[str]
    only_right: list[str]
    rewired: list[str]
    """Nodes that both have, reading other values; by their outputs in the left graph."""
    divergence: list[tuple[str, str | None]]
    """Nodes of the left graph where the two diverge: all that leads to them is shared. With what the right one has there."""
    attributes: list[tuple[str, str, dict[str, tuple[str, str]]]]
    """Nodes that each graph alone has, of one operator in one place: of the left graph, of the right one, and the attributes that differ."""


def graph_difference(
    left: ir.Model, right: ir.Model, *, digests: tuple[str, str] | None = None
) -> GraphDifference | None:
    """Return what two models, which are not changed, do not share; None where their topology is the same.

    Their `structural_digest`s may be given where they are known.
    """
    digests = digests or (structural_digest(left), structural_digest(right))
    if digests[0] == digests[1]:
        return None
    colours: dict[Hashable, int] = {}
    pairing = _Pairing(ColouredGraph(left.graph, colours), ColouredGraph(right.graph, colours))
    a, b = pairing.a, pairing.b
    rewired = pairing.rewired()
    divergence = pairing.divergence(rewired)
    ends = enumerate(zip(a.outputs, b.outputs, strict=False))
    outputs = _type_differences(left.graph.outputs, right.graph.outputs)
    outputs += [f"{index}: comes from elsewhere" for index, pair in ends if not pairing.is_alike(*pair)]
    if not (pairing.only_a or pairing.only_b or rewired or outputs):
        # Nodes have counterparts one by one and still the whole differs: in what shares a weight or a result.
        nodes = first_differing_nodes(left.graph, right.graph)
        if nodes is not None:
            rewired = [a.row[id(nodes[0])]]
            divergence.append((output_of(nodes[0]), output_of(nodes[1])))
    one, two = Counter(map(operator_of, a.nodes)), Counter(map(operator_of, b.nodes))
    return GraphDifference(
        inputs=_type_differences(left.graph.inputs, right.graph.inputs),
        outputs=outputs,
        elsewhere=_differences_elsewhere(left, right),
        operators={name: (one[name], two[name]) for name in sorted(one | two) if one[name] != two[name]},
        only_left=[a.name(row) for row in pairing.only_a],
        only_right=[b.name(row) for row in pairing.only_b],
        rewired=[a.name(row) for row in rewired],
        divergence=divergence,
        attributes=pairing.attributes(),
    )


class _Pairing:
    """Two graphs whose nodes are paired, by rows."""

    def __init__(self, a: ColouredGraph, b: ColouredGraph) -> None:
        self.a, self.b = a, b
        self._pairs, self.only_a, self.only_b = counterparts(a, b)
        self._only_b = set(self.only_b)

    def rewired(self) -> list[int]:
        """Return the paired rows of `a` whose operands are not all alike those of the counterpart."""
        return [
            row
            for row, other in sorted(self._pairs.items())
            if len(self.a.reads[row]) != len(self.b.reads[other])
            or not all(map(self.is_alike, self.a.reads[row], self.b.reads[other]))
        ]

    def divergence(self, rewired: Iterable[int]) -> list[tuple[str, str | None]]:
        """Return nodes of `a` that `b` lacks or rewires, and whose operands it has, with what it has in their place."""
        a, b = self.a, self.b
        shared = set(b.forward)
        by_operands = {b.operand_colours(row): row for row in reversed(self.only_b)}
        found: list[tuple[str, str | None]] = []
        for row in sorted({*self.only_a, *rewired}):
            producers = [source[0] for source in a.reads[row] if source is not None and source[0] >= 0]
            if all(a.forward[producer] in shared for producer in producers):
                other = by_operands.get(a.operand_colours(row))
                found.append((a.name(row), None if other is None else b.name(other)))
        return found

    def attributes(self) -> list[tuple[str, str, dict[str, tuple[str, str]]]]:
        """Return nodes without counterparts that are of one operator and read the same, and how their attributes differ."""
        a, b = self.a, self.b
        same = dict(self._pairs)
        there = {(operator_of(b.nodes[row]), tuple(b.reads[row])): row for row in reversed(self.only_b)}
        found: list[tuple[str, str, dict[str, tuple[str, str]]]] = []
        for row in self.only_a:
            if any(source is not None and source[0] >= 0 and source[0] not in same for source in a.reads[row]):
                continue
            reads = [None if source is None else (same.get(source[0], source[0]), source[1]) for source in a.reads[row]]
            other = there.pop((operator_of(a.nodes[row]), tuple(reads)), None)
            if other is not None:
                same[row] = other  # what they give is taken for the same: there may be more of them behind
                if changes := attribute_differences(a.nodes[row], b.nodes[other]):
                    found.append((a.name(row), b.name(other), changes))
        return found

    def is_alike(self, left: Source | None, right: Source | None) -> bool:
        """Say whether two values are alike: of counterparts, of equal colours, or of a node that the other graph lacks."""
        if left is None or right is None or left[0] < 0 or right[0] < 0:
            return left == right
        one, two = left[0], right[0]
        if left[1] != right[1]:
            return False
        a, b = self.a, self.b
        if one not in self._pairs or two in self._only_b:
            return True  # the lacking node is a difference of its own already
        return self._pairs[one] == two or a.forward[one] == b.forward[two] or a.backward[one] == b.backward[two]


def _type_differences(left: Iterable[ir.Value], right: Iterable[ir.Value]) -> list[str]:
    one, two = [type_of(value) for value in left], [type_of(value) for value in right]
    words = [f"{len(one)} and {len(two)}"] if len(one) != len(two) else []
    words += [f"{i}: {a} and {b}" for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b]
    return words


def _differences_elsewhere(left: ir.Model, right: ir.Model) -> list[str]:
    one, two = opsets_of(left), opsets_of(right)
    words = [f"opset imports {one} and {two}"] if one != two else []
    for key in sorted({*left.functions, *right.functions}):
        sides = left.functions.get(key), right.functions.get(key)
        name = function_path(key)
        if sides[0] is None or sides[1] is None:
            words.append(f"function {name} is only in the {'second' if sides[0] is None else 'first'}")
        elif function_form(sides[0]) != function_form(sides[1]):
            words.append(f"function {name} differs")
    return words
