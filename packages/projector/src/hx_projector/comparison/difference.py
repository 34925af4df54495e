"""What two graphs do not share, whatever their nodes and values are called and ordered.

A node has a counterpart if all that leads to it is alike, or all that it leads to: a change in the middle leaves what
lies before it and what lies behind it alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import onnx_ir as ir

from hx_graph import function_path, output_of
from hx_projector.comparison.canonical import first_parting, function_form, opsets_of, structural_digest
from hx_projector.comparison.colours import Source, Wiring
from hx_projector.comparison.matching import counterparts
from hx_projector.comparison.signature import operator_of, type_of


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
    """Nodes that both have, reading from other places; by their outputs in the left graph."""
    divergence: list[tuple[str, str | None]]
    """Nodes of the left graph where the two part: all that leads to them is shared. With what the right one has there."""


def graph_difference(
    left: ir.Model, right: ir.Model, *, digests: tuple[str, str] | None = None
) -> GraphDifference | None:
    """Return what two models do not share; None where their topology is the same.

    Args:
        left: Neither model is changed.
        right: The other one.
        digests: Their `structural_digest`, where known.
    """
    one, two = digests or (structural_digest(left), structural_digest(right))
    if one == two:
        return None
    numbers: dict[Hashable, int] = {}
    a, b = Wiring(left.graph, numbers), Wiring(right.graph, numbers)
    pairs = counterparts(a, b)
    matched = set(pairs.values())
    only_left = [row for row in range(len(a.nodes)) if row not in pairs]
    only_right = [row for row in range(len(b.nodes)) if row not in matched]
    rewired = [
        row for row, other in sorted(pairs.items()) if not _read_alike(a, b, row, other, pairs, matched)
    ]
    divergence = _divergence(a, b, {*only_left, *rewired}, only_right)
    outputs = _typed_difference(left.graph.outputs, right.graph.outputs) + _moved_outputs(
        a, b, pairs, matched
    )
    if not (only_left or only_right or rewired or outputs):
        # Nodes have counterparts one by one and still the whole differs: in what shares a weight or a result.
        parting = first_parting(left.graph, right.graph)
        if parting is not None:
            rewired = [a.row[id(parting[0])]]
            divergence.append((output_of(parting[0]), output_of(parting[1])))
    counts = Counter(map(operator_of, a.nodes)), Counter(map(operator_of, b.nodes))
    return GraphDifference(
        inputs=_typed_difference(left.graph.inputs, right.graph.inputs),
        outputs=outputs,
        elsewhere=_elsewhere(left, right),
        operators={
            name: (counts[0][name], counts[1][name])
            for name in sorted(counts[0] | counts[1])
            if counts[0][name] != counts[1][name]
        },
        only_left=[a.name(row) for row in only_left],
        only_right=[b.name(row) for row in only_right],
        rewired=[a.name(row) for row in rewired],
        divergence=divergence,
    )


def _read_alike(a: Wiring, b: Wiring, row: int, other: int, pairs: dict[int, int], matched: set[int]) -> bool:
    """Say whether two nodes read from alike places; a node that the other graph lacks is its own difference."""
    reads = a.reads[row], b.reads[other]
    return len(reads[0]) == len(reads[1]) and all(
        _alike(a, b, one, two, pairs, matched) for one, two in zip(*reads, strict=True)
    )


def _alike(
    a: Wiring,
    b: Wiring,
    left: Source | None,
    right: Source | None,
    pairs: dict[int, int],
    matched: set[int],
) -> bool:
    if left is None or right is None or left[0] < 0 or right[0] < 0:
        return left == right
    one, two = left[0], right[0]
    if left[1] != right[1]:
        return False
    if one not in pairs or two not in matched:
        return True
    return pairs[one] == two or a.forward[one] == b.forward[two] or a.backward[one] == b.backward[two]


def _divergence(
    a: Wiring, b: Wiring, parted: set[int], only_right: list[int]
) -> list[tuple[str, str | None]]:
    """Return the parted nodes of `a` all of whose sources are shared, with what reads the same values in `b`."""
    shared = set(b.forward)
    by_origins = {b.origins(row): row for row in reversed(only_right)}
    found: list[tuple[str, str | None]] = []
    for row in sorted(parted):
        sources = [source[0] for source in a.reads[row] if source is not None and source[0] >= 0]
        if all(a.forward[source] in shared for source in sources):
            other = by_origins.get(a.origins(row))
            found.append((a.name(row), None if other is None else b.name(other)))
    return found


def _moved_outputs(a: Wiring, b: Wiring, pairs: dict[int, int], matched: set[int]) -> list[str]:
    return [
        f"{index}: comes from elsewhere"
        for index, (left, right) in enumerate(zip(a.outputs, b.outputs, strict=False))
        if not _alike(a, b, left, right, pairs, matched)
    ]


def _typed_difference(left: Iterable[ir.Value], right: Iterable[ir.Value]) -> list[str]:
    one, two = [type_of(value) for value in left], [type_of(value) for value in right]
    words = [f"{len(one)} and {len(two)}"] if len(one) != len(two) else []
    words += [f"{i}: {a} and {b}" for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b]
    return words


def _elsewhere(left: ir.Model, right: ir.Model) -> list[str]:
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
