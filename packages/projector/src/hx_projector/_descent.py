"""Carry owners from a model to what a tool made of it: an optimised, fused, quantised or converted graph.

Values that both graphs have are fixed points; a node stands for the nodes of the original between the fixed points
around it. Names of nodes say nothing, and a weight alone decides nothing: tools merge equal weights of different modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hx_projector._assemble import weakest
from hx_projector._dataflow import CARRIERS, Dataflow
from hx_projector._fixed_points import FixedPoints
from hx_projector._tree import CallTree
from hx_sidecar_schema import Confidence, Node, Sidecar


class Descent(NamedTuple):
    """What a node of a transformed graph stands for."""

    owner: int
    confidence: Confidence
    originals: list[str]
    covers: list[int]


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
        self._told_apart = set(points.twins.values())
        """Nodes of the original that a node of the new graph stands for alone."""
        self._found: dict[str, Descent] = {}

    def run(self) -> dict[str, Descent]:
        loads = self._loads()
        for key in reversed(self._new.nodes):
            twin = self._points.twins.get(key)
            region = self._points.region(key)
            absorbed = [other for other in region if other not in self._told_apart]
            if twin is not None:
                originals = sorted({twin, *absorbed}, key=self._old.order.__getitem__)
                self._found[key] = self._descent([twin], originals)
            elif (value := self._copied(key)) is not None:
                self._found[key] = self._copy(key, value)
            elif deciding := self._deciding(key, absorbed or region):
                sure = len(loads[self._points.spans[key]]) == 1 or self._serves_all(key, deciding)
                self._found[key] = self._descent(deciding, absorbed or region, sure=sure)
            else:
                self._found[key] = self._helper(key)
        return self._found

    def _loads(self) -> dict[tuple[frozenset[str], frozenset[str]], list[str]]:
        """Return the nodes that compute between the same fixed points."""
        loads: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}
        for key, node in self._new.nodes.items():
            group = loads.setdefault(self._points.spans[key], [])
            if key not in self._points.twins and node.op_type not in CARRIERS and key in self._new.data:
                group.append(key)
        return loads

    def _copied(self, key: str) -> str | None:
        """Return the original's value that a node turns from one form into another, if that is all it does."""
        pairs = self._points.pairs
        value = pairs.get(key)
        return value if any(pairs.get(name) == value for name in self._new.reads[key]) else None

    def _copy(self, key: str, value: str) -> Descent:
        """A copy belongs to who made the value; of an input of the model, to who reads it."""
        maker = self._old.maker.get(value)
        return self._descent([maker])._replace(originals=[]) if maker in self._rows else self._helper(key)

    def _deciding(self, key: str, region: Sequence[str]) -> list[str]:
        """Return the nodes of the original that compute what a node computes."""
        if key not in self._new.data:
            return []
        above, _ = self._points.spans[key]
        fed = self._old.fed(region, above) or [other for other in region if other in self._old.data]
        return [other for other in fed if self._old.nodes[other].op_type not in CARRIERS] or fed

    def _serves_all(self, key: str, deciding: Iterable[str]) -> bool:
        """Say whether the values that a node leads to have no smaller call in common than what it may stand for."""
        _, below = self._points.spans[key]
        ends = [self._rows[maker].owner for end in below if (maker := self._old.maker.get(end)) in self._rows]
        return bool(ends) and self._tree.common(ends) == self._tree.common(
            self._rows[other].owner for other in deciding
        )

    def _descent(
        self, deciding: Iterable[str], originals: Iterable[str] | None = None, *, sure: bool = True
    ) -> Descent:
        rows = [self._rows[key] for key in deciding]
        calls = sorted({row.owner for row in rows})
        confidence = weakest(row.confidence for row in rows)
        if len(calls) > 1 and not sure and confidence == "high":
            confidence = "medium"
        names = list(originals) if originals is not None else [row.output for row in rows]
        return Descent(self._tree.common(calls), confidence, names, calls if len(calls) > 1 else [])

    def _helper(self, key: str) -> Descent:
        """What stands for nothing belongs to what it helps: the calls of the nodes that read it."""
        readers = [
            self._found[user] for name in self._new.made(key) for user in self._new.users.get(name, ())
        ]
        if not readers:
            return Descent(0, "low", [], [])
        calls = {reader.owner for reader in readers}
        confidence = weakest(reader.confidence for reader in readers)
        if len(calls) > 1 and confidence == "high":
            confidence = "medium"
        return Descent(self._tree.common(calls), confidence, [], [])
