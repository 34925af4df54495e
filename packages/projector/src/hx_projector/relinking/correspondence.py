"""Which value of a transformed graph is which value of the original.

Tools that transform a model keep the names of most values: these correspond at once, and divide both graphs into regions.
Inside a region more is found, by steps that are repeated to a fixed point: a value that a node only turns into another
form (quantised, cast, reordered), a value whose name has that of the original's in it, the result of the only operation of
its kind. Every step but the first compares values of one region alone, so an equal name elsewhere decides nothing.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

import onnx_ir as ir

from hx_projector._graph_index import Operator, Wiring, grouped, reachable
from hx_projector.relinking.inlined import InlinedNames
from hx_projector.relinking.original import Outline

Span = tuple[frozenset[str], frozenset[str]]
"""Values of the original around a node: the nearest corresponding ones that it derives from, and those that derive from it."""


class Region:
    """Nodes of the original between corresponding values."""

    def __init__(self, old: Wiring, nodes: Sequence[str], matched: Container[str]) -> None:
        """Index some nodes in topological order. Those that are matched have a counterpart of the same operator."""
        self.nodes = nodes
        self.members = frozenset(nodes)
        self.unmatched = [key for key in nodes if key not in matched]
        nodes_by_operator = [(old.operators[key].op_type, key) for key in self.unmatched]
        self._by_operator = grouped(nodes_by_operator)
        self._by_weight = grouped(
            ((op, weight), key) for op, key in nodes_by_operator for weight in old.weights_of(key)
        )

    def only(self, operator: str, weights: Iterable[str]) -> str | None:
        """Return the only unmatched node of an operator that reads any of the weights, else the only one of the operator."""
        sharing = set[str]().union(*(self._by_weight.get((operator, weight), ()) for weight in weights))
        alike = sharing if len(sharing) == 1 else self._by_operator.get(operator, ())
        return next(iter(alike)) if len(alike) == 1 else None


def name_inside(name: str, known: Container[str]) -> str | None:
    """Return the longest of the known names that a name begins or ends with, set off by what is no letter or digit."""
    breaks = [match.start() for match in re.finditer(r"[^A-Za-z0-9]", name)]
    parts = [*(name[:end] for end in breaks), *(name[start + 1 :] for start in breaks)]
    return max((part for part in parts if part in known), key=len, default=None)


class ValueCorrespondence:
    """Values of a transformed graph with those of the original that they are, as they are or in another form."""

    def __init__(self, new: Wiring, old: Outline, around: Mapping[str, str]) -> None:
        """Match a graph with the one of the original in its place; of a body, given counterparts of values around it."""
        self.new, self.old = new, old
        self._inlined = InlinedNames(old.inlined, name_inside)
        sides = ((new.inputs, old.inputs), (new.outputs, old.outputs))
        self._ends = dict(pair for mine, theirs in sides for pair in _paired(mine, theirs, new, old))
        """Inputs and outputs of the two."""
        self._anchors = {**around, **self._ends}
        """Counterparts without those that follow from them through nodes that only change the form of a value."""
        self._anchors.update((name, name) for name in new.producer if old.is_data_value(name))
        self._update()
        while (
            self._match_names()
            or self._match_operators()
            or self._advance_to_join()
            or self._advance_past_fused()
            or self._propagate_back()
        ):
            self._update()

    @cached_property
    def _kept_weights(self) -> set[str]:
        """Weights of the original that the transformed graph still has, under whatever name."""
        return {self._original_weight(name) for key in self.new.operators for name in self.new.weights_of(key)}

    def span(self, key: str) -> Span:
        """Return the nearest values of the original around a node of the transformed graph."""
        return self._above.get(key) or self._values_above(key), self._below.get(key) or self._values_below(key)

    def region(self, key: str) -> Region:
        """Return the part of the original between the corresponding values around a node."""
        span = self.span(key)
        if span not in self._regions:
            nodes = self.old.backward_slice(*span, stops=self._found)
            self._regions[span] = Region(self.old, nodes, self._matched_nodes)
        return self._regions[span]

    def stands_alone(self, key: str) -> bool:
        """Say whether the node of the same operator is all that there is between the values around a node, as most are."""
        reads = self.old.reads[self.same_operator[key]]
        inner = any(name not in self._found and name in self.old.producer for name in reads)
        return not inner and self.new.outputs_of(key) == [key]

    def unchanged(self) -> dict[str, str]:
        """Return the values that are the original's as they are, not in another layout or precision."""
        kept = self._inlined.is_name_of
        exact = {name: value for name, value in self.counterpart.items() if name == value or kept(name, value)}
        found = set(exact.values())
        for key, other in self.same_operator.items():
            mine, theirs = self.new.operators[key], self.old.operators[other]
            value = self.counterpart[key]
            if value not in found and mine.domain == theirs.domain and self.old.producer.get(value) == other:
                exact[key] = value
        for mine, theirs in self._ends.items():
            if self.counterpart.get(mine) == theirs and theirs not in found:
                exact.setdefault(mine, theirs)
        return exact

    def _update(self) -> None:
        """Find what follows from the anchors: all counterparts, the spans, the nodes of the same operator."""
        new, old = self.new, self.old
        self.counterpart = counterpart = self._propagated()
        """Values of the transformed graph with those of the original."""
        self._found = set(counterpart.values())
        self._regions: dict[Span, Region] = {}
        unknown = [name for name in new.producer if name not in counterpart]
        self._above: dict[str, frozenset[str]] = {}
        """Values of the original that nodes derive from: of nodes with results that have no counterpart."""
        for key in sorted({new.producer[name] for name in unknown}, key=new.order):
            self._above[key] = self._values_above(key)
        self._below: dict[str, frozenset[str]] = {}
        """Values of the original that derive from nodes: of nodes that read such results."""
        for key in sorted({reader for name in unknown for reader in new.readers.get(name, ())}, key=new.order)[::-1]:
            self._below[key] = self._values_below(key)
        makers = ((a, old.producer.get(counterpart.get(a, ""))) for a in new.operators)
        self.same_operator = {a: b for a, b in makers if b and old.operators[b].op_type == new.operators[a].op_type}
        """Nodes of the transformed graph with those of the original that produce the same by the same operator."""
        self._matched_nodes = set(self.same_operator.values())

    def _values_above(self, key: str) -> frozenset[str]:
        known, reads, producer = self.counterpart, self.new.reads[key], self.new.producer
        return frozenset[str]().union(
            [known[name] for name in reads if name in known],
            *(self._above[producer[name]] for name in reads if name not in known and name in producer),
        )

    def _values_below(self, key: str) -> frozenset[str]:
        known, outputs, readers = self.counterpart, self.new.outputs_of(key), self.new.readers
        return frozenset[str]().union(
            [known[name] for name in outputs if name in known],
            *(self._below[reader] for name in outputs if name not in known for reader in readers.get(name, ())),
        )

    def _propagated(self) -> dict[str, str]:
        """Extend the anchors through nodes that only change the form of a value: their results have its counterpart."""
        found = dict(self._anchors)
        for key, source in self.new.form_sources.items():
            if source in found and not self._becomes_another(key, found[source]):
                found.setdefault(key, found[source])
        return found

    def _becomes_another(self, key: str, value: str) -> bool:
        """Say whether all readers of a node turn it into another value: quantising clips, as an activation does."""
        readers = self.new.readers.get(key, ())
        results = {self._anchors.get(reader) for reader in readers if self.new.form_source(reader) == key}
        return bool(results) and len(readers) == len(results) and not results & {None, value}

    def _propagate_back(self) -> bool:
        """Give a value that nothing else is known of the counterpart of what it is turned into."""
        found: dict[str, str] = {}
        for key, source in self.new.form_sources.items():
            if key not in self.counterpart or source in self.counterpart or source not in self.new.producer:
                continue
            theirs = self.old.producer.get(self.counterpart[key])
            if theirs is None or self.old.form_source(theirs) is None:
                found[source] = self.counterpart[key]
        self._anchors.update(found)
        return bool(found)

    def _match_names(self) -> bool:
        """Match values whose names, or whose nodes' names, are an original's with something before or behind it."""
        values = {name: key for name, key in self.old.producer.items() if name not in self._found}
        nodes = {node.name: key for key, node in self.old.operators.items() if node.name and key in values}

        if self._inlined:
            self._inlined.learn(self.counterpart)

        def candidate(key: str, node: Operator) -> str | None:
            names = (key, node.name)
            if self._inlined:
                inside = (self._inlined.candidate(name, self.region(key).members) for name in names)
                if (found := next(filter(None, inside), None)) is not None:
                    return found
            alike = [nodes.get(name) or nodes.get(name_inside(name, nodes) or "") for name in names]
            candidates = [
                *(base for name in names if (base := name_inside(name, values)) is not None),
                # A node's own name counts where the operator is part of the new one's, as Conv is of QLinearConv.
                *(o for o in alike if o is not None and self.old.operators[o].op_type in node.op_type),
            ]
            return next((c for c in candidates if values[c] in self.region(key).members), None)

        return self._anchor(candidate)

    def _match_operators(self) -> bool:
        """Match the results of nodes that are the only ones of their operator in a region, or with their weights there."""

        def candidate(key: str, node: Operator) -> str | None:
            other = self.region(key).only(node.op_type, map(self._original_weight, self.new.weights_of(key)))
            return other if other is not None and self._derive_alike(key, other) else None

        return self._anchor(candidate)

    def _anchor(self, candidate: Callable[[str, Operator], str | None]) -> bool:
        """Anchor the values of the original that are the candidate of one node without a counterpart alone."""
        left = ((key, node) for key, node in self.new.operators.items() if key not in self.counterpart)
        claims = grouped((candidate(key, node), key) for key, node in left)
        found = {keys[0]: value for value, keys in claims.items() if value is not None and len(keys) == 1}
        self._anchors.update(found)
        return bool(found)

    def _derive_alike(self, key: str, other: str) -> bool:
        """Say whether the same weights are read on the way to two nodes: a tool may put a Reshape on the other side."""
        mine = self.new.backward_slice((), [key], stops=self.counterpart)
        theirs = self.old.backward_slice(self.span(key)[0], [other], stops=self._found)
        if _reads_numbers(self.new, mine) != _reads_numbers(self.old, theirs):
            return False
        known = {weight for node in theirs for weight in self.old.weights_of(node)}
        found = {self._original_weight(weight) for node in mine for weight in self.new.weights_of(node)}
        return {w for w in known if w in self._kept_weights} == {w for w in found if w in self.old.initializers}

    def _advance_to_join(self) -> bool:
        """Move the counterpart of a value that derives from more than it to the first value behind that derives from all."""

        def readers(name: str) -> list[str]:
            return [reader for reader in self.old.readers.get(name, ()) if reader not in self._found]

        moved = False  # a node that is named after a convolution may add what another one produced, too
        for key, value in self._anchors.items():
            if key == value or key not in self.new.operators:
                continue
            above = self.span(key)[0]
            if above <= {value} | self.old.reachable_starts(value, above, self._found, value):
                continue
            behind = islice(reachable([value], readers), 1, None)
            joins = (v for v in behind if above <= self.old.reachable_starts(v, above, self._found, value))
            if (join := next(joins, None)) is not None:
                self._anchors[key] = join
                moved = True
        return moved

    def _advance_past_fused(self) -> bool:
        """Move the counterpart of a value past an elementwise operation that no node of the new graph is left for.

        Activations are folded into what comes before them: a quantised convolution clips, one in a layout of the
        runtime's own has an activation inside. So what all readers of the value lack was done before they read it.
        """
        moved = False
        for name, value in self.counterpart.items():
            readers = self.new.readers.get(name, ())
            behind = self.old.readers.get(value, ())
            if name == value or not readers or len(behind) != 1:
                continue
            (reader,) = behind
            if (
                reader not in self._matched_nodes
                and reader not in self._found
                and self.old.is_elementwise_of(reader, value)
                and all(self.counterpart.get(other) not in (None, value, reader) for other in readers)
                and self.old.operators[reader].op_type not in {self.new.operators[other].op_type for other in readers}
            ):
                self._anchors[name] = reader
                moved = True
        return moved

    def _original_weight(self, name: str) -> str:
        """Return the weight of the original whose name a weight's has in it; itself where there is none."""
        known = self.old.initializers
        return name if name in known else name_inside(name, known) or name


def _paired(mine: Sequence[str], theirs: Sequence[str], new: Wiring, old: Outline) -> Iterator[tuple[str, str]]:
    """Yield inputs or outputs with the original's: those of the same name, then the others in order, if they are as many.

    What a tool put behind an output that is still in the graph is not that output.
    """
    same = dict.fromkeys(name for name in mine if old.is_data_value(name))
    yield from zip(same, same, strict=True)
    left = [name for name in theirs if name not in same and name not in new.producer]
    others = [name for name in mine if name not in same]
    if len(left) == len(others):
        yield from zip(others, left, strict=True)


def _reads_numbers(graph: Wiring, nodes: Iterable[str]) -> bool:
    """Say whether nodes read weights that are no sizes."""
    dtypes = (graph.initializers[name] for node in nodes for name in graph.weights_of(node))
    return any(dtype != ir.DataType.INT64 for dtype in dtypes)
