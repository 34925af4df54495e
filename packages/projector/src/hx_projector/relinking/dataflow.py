"""The main graph of a model by the names of its values."""

from __future__ import annotations

from collections.abc import Container, Iterable

import onnx_ir as ir

from hx_graph import in_order, is_size_query, output_of, reads

CARRIERS = frozenset(
    ("Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput")
)
"""Operators of ONNX and ONNX Runtime whose result is their first input in another type, precision or layout.

Not DynamicQuantizeLinear: it finds the scale, as part of the quantised operator that reads it.
"""


class Dataflow:
    """Who makes and who reads every value; a node goes by its first output."""

    def __init__(self, model: ir.Model) -> None:
        self.nodes = {output_of(node): node for node in in_order(model.graph)}
        """In topological order."""
        self.order = {key: index for index, key in enumerate(self.nodes)}
        self.inputs = [str(value.name) for value in model.graph.inputs if not value.is_initializer()]
        self.outputs = [str(value.name) for value in model.graph.outputs]
        self.initializers = model.graph.initializers
        made = (out for node in model.graph for out in node.outputs)
        given = (*model.graph.inputs, *model.graph.initializers.values())
        self._values = {value.name: value for value in (*given, *made) if value.name}
        self.maker: dict[str, str] = {}
        """Of a value, the node."""
        self.reads: dict[str, list[str]] = {}
        """By a node: values, those that its bodies capture included."""
        self.users: dict[str, list[str]] = {}
        """Of a value, the nodes."""
        self.data: set[str] = set(self.inputs)
        """Values that the inputs of the model flow into, other than as sizes."""
        for key, node in self.nodes.items():
            self.reads[key] = names = reads(node)
            for name in names:
                self.users.setdefault(name, []).append(key)
            flows = not is_size_query(node) and any(name in self.data for name in names)
            for out in self.made(key):
                self.maker[out] = key
                if flows:
                    self.data.add(out)

    def value(self, name: str) -> ir.Value | None:
        """Return a value or initializer of the graph."""
        return self._values.get(name)

    def made(self, key: str) -> list[str]:
        """Return the values that a node makes."""
        return [out.name for out in self.nodes[key].outputs if out.name]

    def weights(self, key: str) -> list[str]:
        """Return the initializers that a node reads."""
        return [name for name in self.reads[key] if name in self.initializers]

    def carried(self, key: str) -> str | None:
        """Return the value that a node only carries in another form, if that is all it does."""
        node = self.nodes[key]
        first = node.inputs[0] if node.op_type in CARRIERS and node.inputs else None
        return first.name if first is not None else None

    def holds(self, name: str) -> bool:
        """Say whether a value is made in the graph, or is an input of it."""
        return name in self.maker or name in self.data

    def between(self, starts: Iterable[str], ends: Iterable[str], stops: Iterable[str]) -> list[str]:
        """Return the nodes that lead to values, as far back as others, in the order of the graph.

        Args:
            starts: Values before which to stop.
            ends: Values to begin with; their own nodes are part of the result, unless they are starts.
            stops: Further values before which to stop.
        """
        first, rest = (
            set(starts),
            frozenset(stops) if not isinstance(stops, (set, frozenset, dict)) else stops,
        )
        found: set[str] = set()
        pending = [self.maker[end] for end in ends if end not in first and end in self.maker]
        while pending:
            key = pending.pop()
            if key in found:
                continue
            found.add(key)
            pending += [
                self.maker[name]
                for name in self.reads[key]
                if name in self.maker and name not in first and name not in rest
            ]
        return sorted(found, key=self.order.__getitem__)

    def sources(self, end: str, starts: Container[str], stops: Container[str], through: str) -> set[str]:
        """Return those of some values that a value comes from, without passing others but one."""
        found: set[str] = set()
        pending, seen = [end], {end}
        while pending:
            name = pending.pop()
            if name in starts and name != end:
                found.add(name)
            elif name in self.maker and (name in (end, through) or name not in stops):
                reads = [read for read in self.reads[self.maker[name]] if read not in seen]
                seen.update(reads)
                pending += reads
        return found

    def is_function_of(self, name: str, other: str) -> bool:
        """Say whether a value comes from another and single numbers alone, element by element or at least in its shape."""
        for read in self.reads[self.maker[name]]:
            weight = self.initializers.get(read)
            tensor = weight.const_value if weight is not None else None
            if read != other and (tensor is None or tensor.size > 1):
                return False
        shapes = [value.shape for value in (self.value(name), self.value(other)) if value is not None]
        return len(shapes) == 2 and shapes[0] is not None and shapes[0] == shapes[1]

    def fed(self, nodes: Iterable[str], starts: Iterable[str]) -> list[str]:
        """Return those of the nodes, given in order, that the values flow into, other than as sizes."""
        flowing = set(starts)
        found: list[str] = []
        for key in nodes:
            if any(name in flowing for name in self.reads[key]):
                found.append(key)
                if not is_size_query(self.nodes[key]):
                    flowing.update(self.made(key))
        return found
