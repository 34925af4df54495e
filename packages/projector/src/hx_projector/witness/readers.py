"""What can be said of a node by the nodes that read it.

A value that looks like many others, such as a mask, is told by its reader: the operation behind that one was given one
tensor of these numbers. What PyTorch has no tensor for, such as a literal or the sizes of a reshape, is a step of the
operation that it leads to; no other call can have made it, unless one asked for the sizes that it came of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import onnx_ir as ir

from hx_graph.nested import output_of, reads
from hx_projector.witness.graph import WitnessedGraph
from hx_projector.witness.operations import Observed


@dataclass
class Place:
    """Where a node stands among the operations of PyTorch."""

    rows: set[int] = field(default_factory=set[int])
    """Tensors that it stands for."""
    given: set[int] = field(default_factory=set[int])
    """Tensors that what it reads may be."""
    is_step: bool = False
    """Somebody reads it who was given no such tensor in PyTorch."""
    repeats: bool = False
    """It hands on what it reads."""
    makers: set[int] = field(default_factory=set[int])
    """All calls that can have made it."""
    sure: bool = True
    """There can be no others."""


class Places:
    """Finds the places of all nodes of a graph.

    Args:
        graph: The graph with its values.
        seen: What ran in PyTorch.
        anchors: Operations of nodes that their values alone tell.
    """

    def __init__(self, graph: WitnessedGraph, seen: Observed, anchors: Mapping[str, list[int]]) -> None:
        self._graph = graph
        self._seen = seen
        self._anchors = anchors
        self._users: dict[str, list[str]] = {}
        for node in graph.nodes:
            for name in reads(node):
                self._users.setdefault(name, []).append(output_of(node))
        self._strange: set[str] = set()
        """Steps that read what their operation was not given."""
        self._asked: dict[str, set[int]] = {}
        """Calls that asked for the sizes that a value is made of."""
        self.of = {output_of(node): Place() for node in graph.nodes}
        """By the nodes' first outputs."""
        for node in reversed(graph.nodes):
            self._look_back(node)
        self._repeats = Counter(row for place in self.of.values() if place.repeats for row in place.rows)
        """How many nodes repeat each tensor."""
        self._rooted: set[str] = set()
        """Constants and sizes that are made of what their operation was given, or of its own steps."""
        for node in graph.nodes:
            self._find_rooted(node)
            if output_of(node) in graph.only_sizes:
                self._find_asked(node)
            else:
                self._find_strange(node)
        for node in reversed(graph.nodes):
            self._find_makers(node)

    def _look_back(self, node: ir.Node) -> None:
        """Find the tensors that a node stands for, or those given to the operation that it is a step of."""
        key = output_of(node)
        place = self.of[key]
        if key in self._anchors:
            place.rows.update(self._anchors[key])
            place.given = self._seen.given(place.rows)
            return
        for name, user in self._uses(node):
            equal = self._seen.rows(name) & user.given
            place.rows |= equal
            if not equal:
                place.is_step = True
                place.given |= user.given
        place.repeats = self._seen.repeats(reads(node), place.rows)
        if not place.repeats:
            for name in _outputs(node):
                place.rows |= self._seen.alike_before(name, place.rows)
        place.given |= place.rows if place.repeats else self._seen.given(place.rows)

    def _find_rooted(self, node: ir.Node) -> None:
        key = output_of(node)
        if key in self._graph.asides and any(
            name in self._rooted or self._seen.rows(name) & self.of[key].given or self._is_inner(name)
            for name in reads(node)
        ):
            self._rooted.update(_outputs(node))

    def _is_inner(self, name: str) -> bool:
        """Say whether a value is a step that PyTorch has no tensor for: no other call can ask for its size."""
        key = self._graph.key.get(name)
        if key is None or name in self._graph.asides or name in self._seen.known:
            return False
        return self.of[key].is_step and not self.of[key].rows

    def _find_asked(self, node: ir.Node) -> None:
        key = output_of(node)
        names = [name for name in reads(node) if name in self._graph.values.variable]
        calls: set[int] = set()
        if not self._makes_list(key, names):
            for name in names:
                calls |= self._asked[name] if name in self._asked else self._askers(name)
        self._asked.update((str(out.name), calls) for out in node.outputs)

    def _makes_list(self, key: str, names: Sequence[str]) -> bool:
        """Say whether a node makes a list of numbers: modules hand numbers on, the list is for the operation."""
        made, given = self._graph.values.shape(key), [self._graph.values.shape(name) for name in names]
        if made is None or None in given:
            return False
        return (made != [] and all(shape == [] for shape in given)) or (
            prod(made) > 1 and all(shape in ([], [1]) for shape in given)
        )

    def _find_strange(self, node: ir.Node) -> None:
        graph, place = self._graph, self.of[output_of(node)]
        if not place.is_step or place.rows:
            return
        for name in reads(node):
            equal = self._seen.rows(name)
            if name in graph.asides or name in graph.initializers or equal & place.given:
                continue
            # A step may begin further back: exporters make one of two transpositions.
            passed = [row for row in place.given if not equal.isdisjoint(self._seen.operations[row].reads)]
            place.makers |= self._seen.calls(passed)
            if name in self._strange or (not passed and (name in self._seen.known or name in graph.inputs)):
                self._strange.update(str(out.name) for out in node.outputs)

    def _find_makers(self, node: ir.Node) -> None:
        key, graph = output_of(node), self._graph
        place = self.of[key]
        if key in self._anchors:
            place.makers = self._seen.covered(place.rows, constants=True)
            return
        uses = self._uses(node)
        place.sure = bool(uses) and not any(out.is_graph_output() for out in node.outputs)
        for name, user in uses:
            equal = self._seen.rows(name) & user.given
            makers = self._seen.calls(equal)
            # A literal may be one of the operation's own numbers, which are equal to a tensor by chance.
            literal = not node.inputs and all(self._seen.operations[row].value.constant for row in equal)
            place.makers |= makers if makers and not (place.repeats or literal) else makers | user.makers
            place.sure &= user.sure or any(not self._seen.operations[row].value.constant for row in equal)
        place.makers |= self._seen.calls(place.rows)
        if place.repeats:
            again = [call for row in place.rows for call in self._seen.operations[row].repeated]
            count = max(self._repeats[row] for row in place.rows)
            users = set[int]().union(*(user.makers for _, user in uses))
            # What several calls read is no step of theirs. It is what one call handed on, where no other did.
            one = (
                len(users) > 1
                and len(again) == count
                and len(set(again)) == 1
                and self._reads_nothing_else(node, place)
            )
            place.makers = set(again) if one else place.makers.union(again)
        if not place.is_step:
            return
        place.makers |= self._asked.get(key, set())
        if key not in graph.asides:
            place.sure &= key not in self._strange and (bool(place.rows) or key not in self._seen.known)
        elif any(user not in graph.asides for name in _outputs(node) for user in self._users.get(name, ())):
            # Numbers and lists of them are arguments of operations; tables that were not given are anybody's.
            table = len(graph.values.shape(key) or ()) > 1
            place.sure &= not table or key in self._rooted

    def _uses(self, node: ir.Node) -> list[tuple[str, Place]]:
        return [(name, self.of[user]) for name in _outputs(node) for user in self._users.get(name, ())]

    def _reads_nothing_else(self, node: ir.Node, place: Place) -> bool:
        """Say whether a repeating node reads no other tensor that PyTorch knows."""
        return all(self._seen.rows(name) <= place.rows for name in reads(node))

    def _askers(self, name: str) -> set[int]:
        return {call for row in self._seen.rows(name) for call in self._seen.operations[row].sized}


def _outputs(node: ir.Node) -> list[str]:
    return [str(out.name) for out in node.outputs if out.name]
