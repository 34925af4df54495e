"""A graph by names of its values: producers, readers, and slices of the graph."""

from __future__ import annotations

from collections import ChainMap, deque
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping, MutableMapping
from functools import cached_property
from typing import NamedTuple, TypeVar

import onnx_ir as ir

from hx_graph import is_size_query, output_of, reads_in_order

FORM_CHANGING = frozenset(("Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput"))
"""Operators of ONNX and ONNX Runtime whose result is their first input in another type, precision or layout.

Not DynamicQuantizeLinear: it finds the scale, as part of the quantised operator that reads it.
"""

T = TypeVar("T", bound=Hashable)
V = TypeVar("V")


def grouped(pairs: Iterable[tuple[T, V]]) -> dict[T, list[V]]:
    """Return the second parts of pairs by the first ones."""
    found: dict[T, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def reachable(starts: Iterable[T], following: Callable[[T], Iterable[T]]) -> Iterator[T]:
    """Yield some things and all that follows from them, each once, nearest first."""
    pending = deque(dict.fromkeys(starts))
    seen = set(pending)
    while pending:
        current = pending.popleft()
        yield current
        for other in following(current):
            if other not in seen:
                seen.add(other)
                pending.append(other)


def preorder(root: T, below: Callable[[T], Iterable[T]]) -> Iterator[T]:
    """Yield a thing and all that is below it in a tree, each before what is below itself."""
    pending = [root]
    while pending:
        current = pending.pop()
        yield current
        pending += reversed(list(below(current)))


class Operator(NamedTuple):
    """What a node is, without the graph that it is in."""

    op_type: str
    domain: str
    name: str


class NodeRow(NamedTuple):
    """A node by names alone."""

    operator: Operator
    reads: list[str]
    """What it reads, see `hx_graph.reads`."""
    first_input: str | None
    outputs: list[str]
    """What it produces; outputs that are left out are not listed."""


class GraphRows(NamedTuple):
    """A graph by names alone."""

    inputs: list[str]
    outputs: list[str]
    weights: MutableMapping[str, ir.DataType | None]
    """Initializers with their element types."""
    nodes: Iterable[NodeRow]
    """In topological order."""


def rows_of(graph: ir.Graph, nodes: Mapping[ir.Node, list[str]]) -> GraphRows:
    """Return the rows of a graph, given what `hx_graph.reads_in_order` says of its nodes."""
    return GraphRows(
        inputs=[str(value.name) for value in graph.inputs if not value.is_initializer()],
        outputs=[str(value.name) for value in graph.outputs],
        weights={name: value.dtype for name, value in graph.initializers.data.items()},
        nodes=(_row_of(node, names) for node, names in nodes.items()),
    )


def _row_of(node: ir.Node, reads: list[str]) -> NodeRow:
    first = node.inputs[0] if node.inputs else None
    outputs = [name for out in node.outputs if (name := out.name)]
    operator = Operator(node.op_type, node.domain, node.name or "")
    return NodeRow(operator, reads, None if first is None else first.name, outputs)


class Wiring:
    """Who produces and who reads every value, by names alone; nodes go by their first outputs."""

    def __init__(self, graph: GraphRows, around: Wiring | None = None) -> None:
        """Index a graph; `around` is, of a body, the graph that it captures values of."""
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.initializers = graph.weights if around is None else ChainMap(graph.weights, around.initializers)
        """With their element types; those of the graphs around too."""
        self.operators: dict[str, Operator] = {}
        """By nodes, in topological order."""
        self.producer: dict[str, str] = {}
        """Of a value, the node."""
        self.reads: dict[str, list[str]] = {}
        """Of a node, the values, those that its bodies capture included."""
        self.readers: dict[str, list[str]] = {}
        """Of a value, the nodes."""
        self.data: set[str] = {*self.inputs, *(() if around is None else around.data)}
        """Values that depend on the inputs of the model other than through sizes."""
        self.form_sources: dict[str, str | None] = {}
        """Nodes that only change the form of a value, with that value."""
        self._other_outputs: dict[str, list[str]] = {}
        """Of nodes that produce not just the one value that they go by."""
        self._size_queries: set[str] = set()
        for operator, names, first_input, outputs in graph.nodes:
            key = outputs[0] if outputs else ""
            self.operators[key] = operator
            self.reads[key] = names
            for read in names:
                self.readers.setdefault(read, []).append(key)
            if operator.op_type in FORM_CHANGING:
                self.form_sources[key] = first_input
            if is_size_query(operator):
                self._size_queries.add(key)
            if len(outputs) != 1:
                self._other_outputs[key] = outputs
            carries_data = key not in self._size_queries and not self.data.isdisjoint(names)
            for out in outputs:
                self.producer[out] = key
                if carries_data:
                    self.data.add(out)
        self.position = {key: index for index, key in enumerate(self.operators)}

    def outputs_of(self, key: str) -> list[str]:
        """Return the values that a node produces."""
        return self._other_outputs.get(key, [key])

    def operands_of(self, name: str) -> list[str]:
        """Return what the node that produces a value reads; nothing for a value that no node produces."""
        return self.reads[self.producer[name]] if name in self.producer else []

    def readers_of(self, key: str) -> list[str]:
        """Return the nodes that read what a node produces, each as often as it reads any of that."""
        return [reader for name in self.outputs_of(key) for reader in self.readers.get(name, ())]

    def weights_of(self, key: str) -> list[str]:
        """Return the initializers that a node reads."""
        return [name for name in self.reads[key] if name in self.initializers]

    def form_source(self, key: str) -> str | None:
        """Return the value whose form a node only changes; None for a node that computes."""
        return self.form_sources.get(key)

    def forms(self, name: str | None) -> Iterator[str]:
        """Yield a value, and those whose form nodes changed into it."""
        while name:
            yield name
            name = self.form_source(self.producer[name]) if name in self.producer else None

    def order(self, name: str) -> int:
        """Return the position of the node that produces a value in topological order; -1 where no node does."""
        return self.position[self.producer[name]] if name in self.producer else -1

    def backward_slice(self, starts: Container[str], ends: Iterable[str], stops: Container[str]) -> list[str]:
        """Return the nodes that lead to values, going back as far as other values, in topological order.

        The nodes of the ends are part of the slice, unless they are starts; an end among the stops counts as an end.
        """

        def before(key: str) -> list[str]:
            names = (name for name in self.reads[key] if name not in starts and name not in stops)
            return [self.producer[name] for name in names if name in self.producer]

        last = [self.producer[end] for end in ends if end not in starts and end in self.producer]
        return sorted(reachable(last, before), key=self.position.__getitem__)

    def forward_slice(self, nodes: Iterable[str], starts: Iterable[str], *, through_sizes: bool = False) -> list[str]:
        """Return those nodes, of some in topological order, that depend on values, other than through sizes unless asked."""
        dependent = set(starts)
        found: list[str] = []
        for key in nodes:
            if any(name in dependent for name in self.reads[key]):
                found.append(key)
                if through_sizes or key not in self._size_queries:
                    dependent.update(self.outputs_of(key))
        return found

    def reachable_starts(self, end: str, starts: Container[str], stops: Container[str], passing: str) -> set[str]:
        """Return the starts that a value depends on along paths that pass no stop but `passing`."""

        def before(name: str) -> list[str]:
            goes_on = name == end or (name not in starts and (name == passing or name not in stops))
            return self.operands_of(name) if goes_on else []

        return {name for name in reachable([end], before) if name in starts and name != end}


def wired(graph: ir.Graph, around: Wiring | None = None) -> Wiring:
    """Return who produces and who reads the values of a graph; of a body, `around` is the graph that it captures values of."""
    return Wiring(rows_of(graph, reads_in_order(graph)), around)


class GraphIndex(Wiring):
    """The same with the nodes and values of a graph themselves."""

    def __init__(self, graph: ir.Graph) -> None:
        """Index a graph, which must not be changed meanwhile."""
        nodes = reads_in_order(graph)
        super().__init__(rows_of(graph, nodes))
        self.nodes = {output_of(node): node for node in nodes}
        """In topological order."""
        self._graph = graph

    @cached_property
    def _values(self) -> dict[str | None, ir.Value]:
        graph = self._graph
        produced = (out for node in graph for out in node.outputs)
        return {value.name: value for value in (*graph.inputs, *graph.initializers.values(), *produced) if value.name}

    def value(self, name: str) -> ir.Value | None:
        """Return a value or initializer of the graph by its name; None where it has none of that name."""
        return self._values.get(name)

    def is_handed_out(self, key: str) -> bool:
        """Say whether what a node produces is an output of the model."""
        return any(out.is_graph_output() for out in self.nodes[key].outputs)
