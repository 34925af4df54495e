"""Which value of a transformed graph is which of the original.

Tools that transform a model keep the names of most values. These are fixed points; what lies between them in one graph
stands for what lies between them in the other. More are found there: a value that a node only carries in another form
(quantised, cast, reordered), a value whose name has that of the original in it, and the result of the only
operation of its kind. A name alone never decides beyond the first step: the value must lie between the same fixed points.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

import onnx_ir as ir

from hx_projector.relinking.dataflow import Dataflow

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
        self.spans: dict[str, Span] = {}
        self._weights = {self._weight(name) for name in new.initializers}
        """Weights of the original that the transformed graph has, too, under whatever name."""
        self._held: dict[str, str] = {}
        """The pairs without those that follow from others, because a node only carries a value."""
        for mine, theirs in ((new.inputs, old.inputs), (new.outputs, old.outputs)):
            if len(mine) == len(theirs):
                self._held.update(zip(mine, theirs, strict=True))
        self._held.update((name, name) for name in new.maker if old.holds(name))
        self._measure()
        steps = (self._pair_by_name, self._pair_by_kind, self._complete, self._slide, self._carry_back)
        while any(step() for step in steps):
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
        """Find what follows from the pairs: the fixed points around every node, and the nodes that have a twin."""
        self._carry()
        new, pairs = self.new, self.pairs
        self._paired = set(pairs.values())
        self._regions: dict[Span, Region] = {}
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
        self.twins = {}
        for key, node in new.nodes.items():
            theirs = self.old.maker.get(pairs.get(key, ""))
            if theirs is not None and self.old.nodes[theirs].op_type == node.op_type:
                self.twins[key] = theirs
        self._told_apart = set(self.twins.values())

    def _carry(self) -> None:
        """Follow fixed points through nodes that only carry them."""
        self.pairs = dict(self._held)
        for key in self.new.nodes:
            source = self.new.carried(key)
            if source in self.pairs and not self._ends_elsewhere(key, self.pairs[source]):
                self.pairs.setdefault(key, self.pairs[source])

    def _ends_elsewhere(self, key: str, value: str) -> bool:
        """Say whether all that reads a node carries on to another value: quantising clips, as an activation does."""
        readers = self.new.users.get(key, ())
        held = {self._held.get(reader) for reader in readers if self.new.carried(reader) == key}
        return bool(held) and len(readers) == len(held) and not held & {None, value}

    def _carry_back(self) -> bool:
        """Pair values that nothing else is known of, and that are carried to one that is paired."""
        found: dict[str, str] = {}
        for key in self.new.nodes:
            source = self.new.carried(key)
            if (
                source is None
                or source in self.pairs
                or source not in self.new.maker
                or key not in self.pairs
            ):
                continue
            theirs = self.old.maker.get(self.pairs[key])
            if theirs is None or self.old.carried(theirs) is None:
                found[source] = self.pairs[key]
        self._held.update(found)
        return bool(found)

    def _pair_by_name(self) -> bool:
        """Pair values whose names, or whose nodes' names, are an original's with something before or behind.

        A node's own name counts too where one's operator has the other's in its name, as QLinearConv has Conv.
        """
        values = {name: key for name, key in self.old.maker.items() if name not in self._paired}
        nodes = {node.name: key for key, node in self.old.nodes.items() if node.name and key in values}
        claims: dict[str, list[str]] = {}
        for key, node in self.new.nodes.items():
            if key in self.pairs:
                continue
            names = (key, node.name or "")
            alike = [nodes.get(name) or nodes.get(known_part(name, nodes) or "") for name in names]
            candidates = [
                *(base for name in names if (base := known_part(name, values)) is not None),
                *(o for o in alike if o is not None and self.old.nodes[o].op_type in node.op_type),
            ]
            found = next((c for c in candidates if values[c] in self.region(key).members), None)
            if found is not None:
                claims.setdefault(found, []).append(key)
        return self._accept(claims)

    def _complete(self) -> bool:
        """Move a value that comes from more than the original's to the first one behind that comes from all of it.

        A node that is named after a convolution may add what another one made, too.
        """
        moved = False
        for key, value in self._held.items():
            if key == value or key not in self.spans:
                continue
            above = self.spans[key][0]
            if above <= {value} | self.old.sources(value, above, self._paired, value):
                continue
            for other in self._behind(value):
                if above <= self.old.sources(other, above, self._paired, value):
                    self._held[key] = other
                    moved = True
                    break
        return moved

    def _behind(self, value: str) -> Iterator[str]:
        """Yield the values that come from one, nearest first, as far as none of them is paired."""
        pending, seen = deque([value]), {value}
        while pending:
            for user in self.old.users.get(pending.popleft(), ()):
                if user not in seen and user not in self._paired:
                    seen.add(user)
                    pending.append(user)
                    yield user

    def _slide(self) -> bool:
        """Move a value that was found in another form past an operation that no node is left to stand for.

        Activations are folded into what comes before them: a quantised convolution clips, one in a layout of the
        runtime's own has an activation inside. So what all readers of the value lack was done before they read it.
        """
        moved = False
        for name, value in self.pairs.items():
            readers = self.new.users.get(name, ())
            behind = self.old.users.get(value, ())
            if name == value or not readers or len(behind) != 1 or behind[0] in self._told_apart:
                continue
            (user,) = behind
            if user in self._paired or not self.old.is_function_of(user, value):
                continue
            kinds = {self.new.nodes[reader].op_type for reader in readers}
            elsewhere = all(self.pairs.get(reader) not in (None, value, user) for reader in readers)
            if elsewhere and self.old.nodes[user].op_type not in kinds:
                self._held[name] = user
                moved = True
        return moved

    def _pair_by_kind(self) -> bool:
        """Pair results of operations that stand once between the same fixed points, with the same weights or alone."""
        claims: dict[str, list[str]] = {}
        for key, node in self.new.nodes.items():
            if key not in self.pairs:
                weights = map(self._weight, self.new.weights(key))
                other = self.region(key).only(node.op_type, weights)
                if other is not None and self._read_alike(key, other):
                    claims.setdefault(other, []).append(key)
        return self._accept(claims)

    def _read_alike(self, key: str, other: str) -> bool:
        """Say whether the same weights are read on the way to two nodes.

        A tool may put a Reshape before a product where the original has one behind it.
        """
        mine = self.new.between((), [key], stops=self.pairs)
        theirs = self.old.between(self.spans[key][0], [other], stops=self._paired)
        if _reads_numbers(self.new, mine) != _reads_numbers(self.old, theirs):
            return False
        known = {weight for node in theirs for weight in self.old.weights(node)}
        found = {self._weight(weight) for node in mine for weight in self.new.weights(node)}
        return {w for w in known if w in self._weights} == {w for w in found if w in self.old.initializers}

    def _weight(self, name: str) -> str:
        known = self.old.initializers
        return name if name in known else known_part(name, known) or name

    def _accept(self, claims: Mapping[str, Sequence[str]]) -> bool:
        found = {keys[0]: value for value, keys in claims.items() if len(keys) == 1}
        self._held.update(found)
        return bool(found)


def _reads_numbers(graph: Dataflow, nodes: Iterable[str]) -> bool:
    """Say whether nodes read weights that are no sizes."""
    weights = (graph.initializers[name] for node in nodes for name in graph.weights(node))
    return any(weight.dtype != ir.DataType.INT64 for weight in weights)


def known_part(name: str, known: Container[str]) -> str | None:
    """Return the longest of the known names that a name begins or ends with, set off by what is no letter or digit."""
    breaks = [match.start() for match in re.finditer(r"[^A-Za-z0-9]", name)]
    parts = [*(name[:end] for end in breaks), *(name[start + 1 :] for start in breaks)]
    return max((part for part in parts if part in known), key=len, default=None)
