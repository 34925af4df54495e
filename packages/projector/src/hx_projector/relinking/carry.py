"""Carry owners from a model to what a tool made of it: an optimised, fused, quantised or converted graph.

Values that both graphs have are fixed points; a node stands for the nodes of the original between the fixed points
around it. Names of nodes say nothing, and a weight alone decides nothing: tools merge equal weights of different modules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from hx_graph import CallTree
from hx_projector.attribution.assemble import weakest
from hx_projector.relinking.correspondence import FixedPoints, Region, Span
from hx_projector.relinking.dataflow import CARRIERS, Dataflow
from hx_sidecar_schema import Confidence, Node, Sidecar

MANY = 64
"""Of the original's nodes that several new ones share: no list of what each stands for."""


class Descent(NamedTuple):
    """What a node of a transformed graph stands for."""

    owner: int
    confidence: Confidence
    originals: list[str]
    covers: list[int]
    known: bool = True


def descend(new: Dataflow, points: FixedPoints, sidecar: Sidecar) -> dict[str, Descent]:
    """Return the owners of the nodes of a transformed main graph, by their first outputs.

    Args:
        new: The transformed graph.
        points: Its values that are the original's.
        sidecar: Of the original.
    """
    return _Descender(new, points, sidecar).run()


class _Descender:
    def __init__(self, new: Dataflow, points: FixedPoints, sidecar: Sidecar) -> None:
        self._new, self._points, self._old = new, points, points.old
        self._tree = CallTree(sidecar.calls)
        self._rows: dict[str, Node] = {row.output: row for row in sidecar.nodes if not row.graph}
        self._wholes: dict[Span, Descent | None] = {}
        self._found: dict[str, Descent] = {}

    def run(self) -> dict[str, Descent]:
        loads = self._loads()
        for key in reversed(self._new.nodes):
            span, region = self._points.spans[key], self._points.region(key)
            twin = self._points.twins.get(key)
            if twin is not None:
                originals = sorted({twin, *region.left}, key=self._old.order.__getitem__)
                self._found[key] = self._descent([twin], originals)
            elif (value := self._copied(key)) is not None:
                self._found[key] = self._copy(key, value)
            elif key in self._new.data and (whole := self._whole(span, region)) is not None:
                sure = loads[span] == 1 or self._serves_all(span, whole)
                if whole.covers and not sure and whole.confidence == "high":
                    whole = whole._replace(confidence="medium")
                many = loads[span] > 1 and len(whole.originals) > MANY
                self._found[key] = whole._replace(originals=[]) if many else whole
            else:
                self._found[key] = self._helper(key)
        return self._found

    def _loads(self) -> Counter[Span]:
        """Count the nodes that compute between the same fixed points."""
        return Counter(
            self._points.spans[key]
            for key, node in self._new.nodes.items()
            if key not in self._points.twins and node.op_type not in CARRIERS and key in self._new.data
        )

    def _copied(self, key: str) -> str | None:
        """Return the original's value that a node turns from one form into another, if that is all it does."""
        pairs = self._points.pairs
        value = pairs.get(key)
        return value if any(pairs.get(name) == value for name in self._new.reads[key]) else None

    def _copy(self, key: str, value: str) -> Descent:
        """A copy belongs to who made the value; of an input of the model, to who reads it."""
        maker = self._old.maker.get(value)
        return self._descent([maker], []) if maker in self._rows else self._helper(key)

    def _whole(self, span: Span, region: Region) -> Descent | None:
        """Return what all nodes between some fixed points stand for; None where nothing is computed there."""
        if span not in self._wholes:
            nodes = region.left or region.nodes
            fed = self._old.fed(nodes, span[0]) or [other for other in nodes if other in self._old.data]
            computing = [other for other in fed if self._old.nodes[other].op_type not in CARRIERS]
            self._wholes[span] = self._descent(computing or fed, nodes) if fed else None
        return self._wholes[span]

    def _serves_all(self, span: Span, whole: Descent) -> bool:
        """Say whether nodes lead to results of so many of the calls that no smaller one has all of these in common."""
        makers = (self._old.maker.get(end) for end in span[1])
        ends = {self._rows[maker].owner for maker in makers if maker in self._rows}
        return bool(ends) and ends <= set(whole.covers) and self._tree.common(ends) == whole.owner

    def _descent(self, deciding: Iterable[str], originals: Iterable[str]) -> Descent:
        rows = [self._rows[key] for key in deciding]
        calls = sorted({row.owner for row in rows})
        confidence = weakest(row.confidence for row in rows)
        return Descent(
            self._tree.common(calls),
            confidence,
            list(originals),
            calls if len(calls) > 1 else [],
            all(row.known for row in rows),
        )

    def _helper(self, key: str) -> Descent:
        """What stands for nothing belongs to what it helps: the calls of the nodes that read it."""
        readers = [
            self._found[user] for name in self._new.made(key) for user in self._new.users.get(name, ())
        ]
        if not readers:
            return Descent(0, "low", [], [], known=False)
        calls = {reader.owner for reader in readers}
        confidence = weakest(reader.confidence for reader in readers)
        if len(calls) > 1 and confidence == "high":
            confidence = "medium"
        known = all(reader.known for reader in readers)
        return Descent(self._tree.common(calls), confidence, [], [], known)
