"""Which value of a transformed graph is which of the original.

Tools that transform a model keep the names of most values. These are fixed points; what lies between them in one graph
stands for what lies between them in the other. More are found there: a value that a node only carries in another form
(quantised, cast, reordered), a value whose name begins with that of the original, and the result of the only
operation of its kind. A name alone never decides beyond the first step: the value must lie between the same fixed points.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence

from hx_projector._dataflow import Dataflow

Span = tuple[frozenset[str], frozenset[str]]
"""Values of the original that a node comes from, and those that it leads to: the nearest fixed points."""


class Region:
    """Nodes of the original between fixed points.

    Args:
        old: The original.
        nodes: In the order of the graph.
        twins: Nodes of the original that one of the transformed graph stands for alone.
    """

    def __init__(self, old: Dataflow, nodes: Sequence[str], twins: Container[str]) -> None:
        self.nodes = nodes
        self.members = frozenset(nodes)
        self.left = [key for key in nodes if key not in twins]
        """Those that no node stands for alone."""
        self._by_kind: dict[str, list[str]] = {}
        self._by_weight: dict[tuple[str, str], set[str]] = {}
        for key in self.left:
            kind = old.nodes[key].op_type
            self._by_kind.setdefault(kind, []).append(key)
            for weight in old.weights(key):
                self._by_weight.setdefault((kind, weight), set()).add(key)

    def only(self, kind: str, weights: Iterable[str]) -> str | None:
        """Return the one node of a kind that reads some of the weights, else the one of that kind."""
        sharing = set[str]().union(*(self._by_weight.get((kind, weight), ()) for weight in weights))
        alike = sharing if len(sharing) == 1 else self._by_kind.get(kind, ())
        return next(iter(alike)) if len(alike) == 1 else None


class FixedPoints:
    """Values of a transformed graph with those of the original that they are, exactly or in another form.

    Args:
        new: The transformed graph.
        old: The original.
    """

    def __init__(self, new: Dataflow, old: Dataflow) -> None:
        self.new, self.old = new, old
        self.pairs: dict[str, str] = {}
        """Values of the transformed graph with those of the original."""
        self.twins: dict[str, str] = {}
        """Nodes of the transformed graph with those of the original that do the same."""
        for mine, theirs in ((new.inputs, old.inputs), (new.outputs, old.outputs)):
            if len(mine) == len(theirs):
                self.pairs.update(zip(mine, theirs, strict=True))
        for name in new.maker:
            if old.holds(name):
                self.pairs[name] = name
        self.spans: dict[str, Span] = {}
        self._regions: dict[Span, Region] = {}
        self._carry()
        self._measure()
        while self._pair_by_name() or self._pair_by_kind():
            self._carry()
            self._measure()

    def region(self, key: str) -> Region:
        """Return the part of the original between the fixed points around a node."""
        span = self.spans[key]
        if span not in self._regions:
            nodes = self.old.between(*span, stops=self._paired)
            self._regions[span] = Region(self.old, nodes, self._told_apart)
        return self._regions[span]

    def same(self) -> dict[str, str]:
        """Return the values that are the original's as they are, not in another layout or precision form."""
        exact = {name: value for name, value in self.pairs.items() if name == value}
        found = set(exact)
        for key, twin in self.twins.items():
            mine, theirs = self.new.nodes[key], self.old.nodes[twin]
            value = self.pairs[key]
            if value not in found and mine.domain == theirs.domain and self.old.maker.get(value) == twin:
                exact[key] = value
        for mine, theirs in (
            *zip(self.new.inputs, self.old.inputs, strict=False),
            *zip(self.new.outputs, self.old.outputs, strict=False),
        ):
            if self.pairs.get(mine) == theirs and theirs not in found:
                exact.setdefault(mine, theirs)
        return exact

    def _measure(self) -> None:
        """Find the fixed points around every node, and the nodes that have a twin."""
        new, pairs = self.new, self.pairs
        self._paired = set(pairs.values())
        self._regions.clear()
        above: dict[str, frozenset[str]] = {}
        for key in new.nodes:
            found: set[str] = set()
            for name in new.reads[key]:
                if name in pairs:
                    found.add(pairs[name])
                elif name in new.maker:
                    found |= above[new.maker[name]]
            above[key] = frozenset(found)
        below: dict[str, frozenset[str]] = {}
        for key in reversed(new.nodes):
            found = set()
            for name in new.made(key):
                if name in pairs:
                    found.add(pairs[name])
                else:
                    found.update(*(below[user] for user in new.users.get(name, ())))
            below[key] = frozenset(found)
        self.spans = {key: (above[key], below[key]) for key in new.nodes}
        for key, node in new.nodes.items():
            theirs = self.old.maker.get(pairs.get(key, ""))
            if theirs is not None and self.old.nodes[theirs].op_type == node.op_type:
                self.twins[key] = theirs
        self._told_apart = set(self.twins.values())

    def _carry(self) -> None:
        """Follow fixed points through nodes that only carry them, forwards and backwards."""
        new, pairs = self.new, self.pairs
        for key in new.nodes:
            source = new.carried(key)
            if source in pairs:
                for name in new.made(key)[:1]:
                    pairs.setdefault(name, pairs[source])
        for key in reversed(new.nodes):
            source = new.carried(key)
            if source is None or source in pairs or source not in new.maker or key not in pairs:
                continue
            theirs = self.old.maker.get(pairs[key])
            if theirs is None or self.old.carried(theirs) is None:
                pairs[source] = pairs[key]

    def _pair_by_name(self) -> bool:
        """Pair values whose names, or whose nodes' names, are an original's with something added."""
        known = {name: key for name, key in self.old.maker.items() if name not in self._paired}
        claims: dict[str, list[str]] = {}
        for key, node in self.new.nodes.items():
            if key in self.pairs:
                continue
            for base in (beginning(key, known), beginning(node.name or "", known)):
                if base is not None and known[base] in self.region(key).members:
                    claims.setdefault(base, []).append(key)
                    break
        return self._accept(claims)

    def _pair_by_kind(self) -> bool:
        """Pair results of operations that stand once between the same fixed points, with the same weights or alone."""
        claims: dict[str, list[str]] = {}
        for key, node in self.new.nodes.items():
            if key not in self.pairs:
                weights = map(self._weight, self.new.weights(key))
                other = self.region(key).only(node.op_type, weights)
                if other is not None:
                    claims.setdefault(other, []).append(key)
        return self._accept(claims)

    def _weight(self, name: str) -> str:
        known = self.old.initializers
        return name if name in known else beginning(name, known) or name

    def _accept(self, claims: Mapping[str, Sequence[str]]) -> bool:
        found = {keys[0]: value for value, keys in claims.items() if len(keys) == 1}
        self.pairs.update(found)
        return bool(found)


def beginning(name: str, known: Mapping[str, object]) -> str | None:
    """Return the longest of the known names that a name begins with, and then goes on with no letter or digit."""
    ends = [match.start() for match in re.finditer(r"[^A-Za-z0-9]", name)]
    return next((name[:end] for end in reversed(ends) if name[:end] in known), None)
