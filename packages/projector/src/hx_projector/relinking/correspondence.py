"""Which value of a transformed graph is which value of the original.

Tools that transform a model keep the names of most values: these correspond at once, and divide both graphs into regions.
Inside a region more is found, by steps that are repeated to a fixed point: a value that a node only turns into another
form (quantised, cast, reordered), a value whose name has that of the original's in it, the result of the only operation of
its kind. Every step but the first compares values of one region alone, so an equal name elsewhere decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import onnx_ir as ir

from hx_projector._graph_index import GraphIndex, reachable
from hx_projector.relinking.region import Region, Span, name_inside


class ValueCorrespondence:
    """Values of a transformed graph with those of the original that they are, as they are or in another form."""

    def __init__(self, new: GraphIndex, old: GraphIndex, around: Mapping[str, str] | None = None) -> None:
        """Find the values of a transformed graph that correspond to values of the original.

        Args:
            new: The main graph of the transformed model, or a body.
            old: The graph of the original in its place.
            around: Of a body, the counterparts that values of the graphs around it have.
        """
        self.new, self.old = new, old
        self.counterpart: dict[str, str] = {}
        """Values of the transformed graph with those of the original."""
        self.same_operator: dict[str, str] = {}
        """Nodes of the transformed graph with those of the original that produce the same by the same operator."""
        self.spans: dict[str, Span] = {}
        """Of a node of the transformed graph, the nearest values of the original around it."""
        self._kept_weights = {self._original_weight(name) for key in new.nodes for name in new.weights_of(key)}
        """Weights of the original that the transformed graph still has, under whatever name."""
        sides = ((new.inputs, old.inputs), (new.outputs, old.outputs))
        self._ends = {
            a: b for mine, theirs in sides if len(mine) == len(theirs) for a, b in zip(mine, theirs, strict=True)
        }
        """Inputs and outputs of the two."""
        self._anchors = {**(around or {}), **self._ends}
        """Counterparts without those that follow from them through nodes that only change the form of a value."""
        self._anchors.update((name, name) for name in new.producer if old.is_data_value(name))
        self._update()
        steps = (
            self._match_names,
            self._match_operators,
            self._advance_to_join,
            self._advance_past_fused,
            self._propagate_back,
        )
        while any(step() for step in steps):
            self._update()

    def region(self, key: str) -> Region:
        """Return the part of the original between the corresponding values around a node."""
        span = self.spans[key]
        if span not in self._regions:
            nodes = self.old.backward_slice(*span, stops=self._found)
            self._regions[span] = Region(self.old, nodes, self._matched_nodes)
        return self._regions[span]

    def unchanged(self) -> dict[str, str]:
        """Return the values that are the original's as they are, not in another layout or precision."""
        exact = {name: value for name, value in self.counterpart.items() if name == value}
        found = set(exact)
        for key, other in self.same_operator.items():
            mine, theirs = self.new.nodes[key], self.old.nodes[other]
            value = self.counterpart[key]
            if value not in found and mine.domain == theirs.domain and self.old.producer.get(value) == other:
                exact[key] = value
        for mine, theirs in self._ends.items():
            if self.counterpart.get(mine) == theirs and theirs not in found:
                exact.setdefault(mine, theirs)
        return exact

    def _update(self) -> None:
        """Find what follows from the anchors: all counterparts, the spans, the nodes of the same operator."""
        self._propagate()
        new, counterpart = self.new, self.counterpart
        self._found = set(counterpart.values())
        self._regions: dict[Span, Region] = {}
        above: dict[str, frozenset[str]] = {}
        for key in new.nodes:
            found: set[str] = set()
            for name in new.reads[key]:
                if name in counterpart:
                    found.add(counterpart[name])
                elif name in new.producer:
                    found |= above[new.producer[name]]
            above[key] = frozenset(found)
        below: dict[str, frozenset[str]] = {}
        for key in reversed(new.nodes):
            found = set()
            for name in new.outputs_of(key):
                if name in counterpart:
                    found.add(counterpart[name])
                else:
                    found.update(*(below[reader] for reader in new.readers.get(name, ())))
            below[key] = frozenset(found)
        self.spans = {key: (above[key], below[key]) for key in new.nodes}
        self.same_operator = {}
        for key, node in new.nodes.items():
            theirs = self.old.producer.get(counterpart.get(key, ""))
            if theirs is not None and self.old.nodes[theirs].op_type == node.op_type:
                self.same_operator[key] = theirs
        self._matched_nodes = set(self.same_operator.values())

    def _propagate(self) -> None:
        """Extend the anchors through nodes that only change the form of a value: their results have its counterpart."""
        self.counterpart = dict(self._anchors)
        for key in self.new.nodes:
            source = self.new.form_source(key)
            if source in self.counterpart and not self._becomes_another(key, self.counterpart[source]):
                self.counterpart.setdefault(key, self.counterpart[source])

    def _becomes_another(self, key: str, value: str) -> bool:
        """Say whether all readers of a node turn it into another value: quantising clips, as an activation does."""
        readers = self.new.readers.get(key, ())
        results = {self._anchors.get(reader) for reader in readers if self.new.form_source(reader) == key}
        return bool(results) and len(readers) == len(results) and not results & {None, value}

    def _propagate_back(self) -> bool:
        """Give a value that nothing else is known of the counterpart of what it is turned into."""
        found: dict[str, str] = {}
        for key in self.new.nodes:
            source = self.new.form_source(key)
            if key not in self.counterpart or source in self.counterpart or source not in self.new.producer:
                continue
            theirs = self.old.producer.get(self.counterpart[key])
            if theirs is None or self.old.form_source(theirs) is None:
                found[source] = self.counterpart[key]
        self._anchors.update(found)
        return bool(found)

    def _match_names(self) -> bool:
        """Match values whose names, or whose nodes' names, are an original's with something before or behind it.

        A node's own name counts where the original's operator is part of the new one's, as Conv is of QLinearConv.
        """
        values = {name: key for name, key in self.old.producer.items() if name not in self._found}
        nodes = {node.name: key for key, node in self.old.nodes.items() if node.name and key in values}
        claims: dict[str, list[str]] = {}
        for key, node in self.new.nodes.items():
            if key in self.counterpart:
                continue
            names = (key, node.name or "")
            alike = [nodes.get(name) or nodes.get(name_inside(name, nodes) or "") for name in names]
            candidates = [
                *(base for name in names if (base := name_inside(name, values)) is not None),
                *(o for o in alike if o is not None and self.old.nodes[o].op_type in node.op_type),
            ]
            found = next((c for c in candidates if values[c] in self.region(key).members), None)
            if found is not None:
                claims.setdefault(found, []).append(key)
        return self._accept(claims)

    def _match_operators(self) -> bool:
        """Match the results of nodes that are the only ones of their operator in a region, or with their weights there."""
        claims: dict[str, list[str]] = {}
        for key, node in self.new.nodes.items():
            if key not in self.counterpart:
                weights = map(self._original_weight, self.new.weights_of(key))
                other = self.region(key).only(node.op_type, weights)
                if other is not None and self._derive_alike(key, other):
                    claims.setdefault(other, []).append(key)
        return self._accept(claims)

    def _derive_alike(self, key: str, other: str) -> bool:
        """Say whether the same weights are read on the way to two nodes.

        A tool may put a Reshape before a product where the original has one behind it.
        """
        mine = self.new.backward_slice((), [key], stops=self.counterpart)
        theirs = self.old.backward_slice(self.spans[key][0], [other], stops=self._found)
        if _reads_numbers(self.new, mine) != _reads_numbers(self.old, theirs):
            return False
        known = {weight for node in theirs for weight in self.old.weights_of(node)}
        found = {self._original_weight(weight) for node in mine for weight in self.new.weights_of(node)}
        return {w for w in known if w in self._kept_weights} == {w for w in found if w in self.old.initializers}

    def _advance_to_join(self) -> bool:
        """Move the counterpart of a value that derives from more than it to the first value behind that derives from all.

        A node that is named after a convolution may add what another one produced, too.
        """
        moved = False
        for key, value in self._anchors.items():
            if key == value or key not in self.spans:
                continue
            above = self.spans[key][0]
            if above <= {value} | self.old.reachable_starts(value, above, self._found, value):
                continue
            for other in self._behind(value):
                if above <= self.old.reachable_starts(other, above, self._found, value):
                    self._anchors[key] = other
                    moved = True
                    break
        return moved

    def _behind(self, value: str) -> Iterator[str]:
        """Yield the values of the original that derive from one, nearest first, as far as none has a counterpart."""

        def readers(name: str) -> list[str]:
            return [reader for reader in self.old.readers.get(name, ()) if reader not in self._found]

        return islice(reachable([value], readers), 1, None)

    def _advance_past_fused(self) -> bool:
        """Move the counterpart of a value past an elementwise operation that no node of the new graph is left for.

        Activations are folded into what comes before them: a quantised convolution clips, one in a layout of the
        runtime's own has an activation inside. So what all readers of the value lack was done before they read it.
        """
        moved = False
        for name, value in self.counterpart.items():
            readers = self.new.readers.get(name, ())
            behind = self.old.readers.get(value, ())
            if name == value or not readers or len(behind) != 1 or behind[0] in self._matched_nodes:
                continue
            (reader,) = behind
            if reader in self._found or not self.old.is_elementwise_of(reader, value):
                continue
            operators = {self.new.nodes[other].op_type for other in readers}
            elsewhere = all(self.counterpart.get(other) not in (None, value, reader) for other in readers)
            if elsewhere and self.old.nodes[reader].op_type not in operators:
                self._anchors[name] = reader
                moved = True
        return moved

    def _original_weight(self, name: str) -> str:
        """Return the weight of the original whose name a weight's has in it; itself where there is none."""
        known = self.old.initializers
        return name if name in known else name_inside(name, known) or name

    def _accept(self, claims: Mapping[str, Sequence[str]]) -> bool:
        """Anchor the values of the original that one node alone claims."""
        found = {keys[0]: value for value, keys in claims.items() if len(keys) == 1}
        self._anchors.update(found)
        return bool(found)


def _reads_numbers(graph: GraphIndex, nodes: Iterable[str]) -> bool:
    """Say whether nodes read weights that are no sizes."""
    weights = (graph.initializers[name] for node in nodes for name in graph.weights_of(node))
    return any(weight.dtype != ir.DataType.INT64 for weight in weights)
