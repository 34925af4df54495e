"""A graph by names of its values: producers, readers, and slices of the graph."""

from __future__ import annotations

from collections import ChainMap, deque
from collections.abc import Callable, Container, Hashable, Iterable, Iterator
from typing import TypeVar

import onnx_ir as ir

from hx_graph import in_order, is_size_query, output_of, reads

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


class GraphIndex:
    """Who produces and who reads every value; nodes go by their first outputs."""

    def __init__(self, graph: ir.Graph, around: GraphIndex | None = None) -> None:
        """Index a graph, which must not be changed meanwhile; `around` is, of a body, the graph that it captures values of."""
        self.nodes = {output_of(node): node for node in in_order(graph)}
        """In topological order."""
        self.position = {key: index for index, key in enumerate(self.nodes)}
        self.inputs = [str(value.name) for value in graph.inputs if not value.is_initializer()]
        self.outputs = [str(value.name) for value in graph.outputs]
        self.initializers = graph.initializers if around is None else ChainMap(graph.initializers, around.initializers)
        """Those of the graphs around too."""
        produced = (out for node in graph for out in node.outputs)
        given = (*graph.inputs, *graph.initializers.values())
        values = {value.name: value for value in (*given, *produced) if value.name}
        self._values = ChainMap(values, {} if around is None else around._values)
        self.producer: dict[str, str] = {}
        """Of a value, the node."""
        self.reads: dict[str, list[str]] = {}
        """Of a node, the values, those that its bodies capture included."""
        self.readers: dict[str, list[str]] = {}
        """Of a value, the nodes."""
        self.data: set[str] = {*self.inputs, *(() if around is None else around.data)}
        """Values that depend on the inputs of the model other than through sizes."""
        for key, node in self.nodes.items():
            self.reads[key] = names = reads(node)
            for name in names:
                self.readers.setdefault(name, []).append(key)
            carries_data = not is_size_query(node) and not self.data.isdisjoint(names)
            for out in self.outputs_of(key):
                self.producer[out] = key
                if carries_data:
                    self.data.add(out)

    def value(self, name: str) -> ir.Value | None:
        """Return a value or initializer of the graph, or of those around, by its name; None where it has none of that name."""
        return self._values.get(name)

    def outputs_of(self, key: str) -> list[str]:
        """Return the values that a node produces."""
        return [out.name for out in self.nodes[key].outputs if out.name]

    def operands_of(self, name: str) -> list[str]:
        """Return what the node that produces a value reads; nothing for a value that no node produces."""
        return self.reads[self.producer[name]] if name in self.producer else []

    def readers_of(self, key: str) -> list[str]:
        """Return the nodes that read what a node produces, each as often as it reads any of that."""
        return [reader for name in self.outputs_of(key) for reader in self.readers.get(name, ())]

    def is_handed_out(self, key: str) -> bool:
        """Say whether what a node produces is an output of the model."""
        return any(out.is_graph_output() for out in self.nodes[key].outputs)

    def weights_of(self, key: str) -> list[str]:
        """Return the initializers that a node reads."""
        return [name for name in self.reads[key] if name in self.initializers]

    def form_source(self, key: str) -> str | None:
        """Return the value whose form a node only changes; None for a node that computes."""
        node = self.nodes[key]
        first = node.inputs[0] if node.op_type in FORM_CHANGING and node.inputs else None
        return first.name if first is not None else None

    def forms(self, name: str | None) -> Iterator[str]:
        """Yield a value, and those whose form nodes changed into it."""
        while name:
            yield name
            name = self.form_source(self.producer[name]) if name in self.producer else None

    def order(self, name: str) -> int:
        """Return the position of the node that produces a value in topological order; -1 where no node does."""
        return self.position[self.producer[name]] if name in self.producer else -1

    def is_data_value(self, name: str) -> bool:
        """Say whether a value is produced by a node or is an input of a graph; weights are neither."""
        value = self.value(name)
        return value is not None and not value.is_initializer()

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
                if through_sizes or not is_size_query(self.nodes[key]):
                    dependent.update(self.outputs_of(key))
        return found

    def reachable_starts(self, end: str, starts: Container[str], stops: Container[str], passing: str) -> set[str]:
        """Return the starts that a value depends on along paths that pass no stop but `passing`."""

        def before(name: str) -> list[str]:
            goes_on = name == end or (name not in starts and (name == passing or name not in stops))
            return self.operands_of(name) if goes_on else []

        return {name for name in reachable([end], before) if name in starts and name != end}

    def is_elementwise_of(self, name: str, other: str) -> bool:
        """Say whether a value is made of another of the same shape and of single numbers, and of nothing else."""
        for read in self.operands_of(name):
            tensor = self.initializers[read].const_value if read in self.initializers else None
            if read != other and (tensor is None or tensor.size > 1):
                return False
        one, two = self.value(name), self.value(other)
        return one is not None and two is not None and one.shape is not None and one.shape == two.shape
