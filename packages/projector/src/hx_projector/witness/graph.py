"""A graph with the values of one run."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from hx_graph.nested import in_order, output_of, reads
from hx_projector.witness.values import Values


class WitnessedGraph:
    """The main graph by the names of its values, and those that only repeat another."""

    def __init__(self, model: ir.Model, values: Values) -> None:
        self.values = values
        self.nodes = in_order(model.graph)
        self.inputs = {str(value.name) for value in model.graph.inputs if not value.is_initializer()}
        self.shapes = {
            str(value.name): value.shape
            for value in (*model.graph.inputs, *(out for node in self.nodes for out in node.outputs))
            if value.name
        }
        self.initializers = set(model.graph.initializers)
        self.is_static = all(
            value.shape is not None and value.shape.is_static() for value in model.graph.inputs
        )
        self.reads: dict[str, Sequence[str]] = {}
        """What the node behind a value reads."""
        self.key: dict[str, str] = {}
        """The first output of the node behind a value."""
        self.sizes: set[str] = set()
        """Values that hold sizes and nothing else of a tensor."""
        self.only_sizes: set[str] = set()
        """Values that depend on inputs through sizes alone."""
        self.asides: set[str] = set()
        """Values that depend on no number of an input: constants, and what is made of sizes alone."""
        self.same_as: dict[str, str] = {}
        """Values that repeat the only one that their node reads, asides left out."""
        for node in self.nodes:
            names = reads(node)
            key = output_of(node)
            data = [name for name in names if name in values.variable]
            tensors = [name for name in data if name not in self.only_sizes]
            is_size = node.op_type in ("Shape", "Size") and node.domain == ""
            for out in node.outputs:
                if not out.name:
                    continue
                self.reads[out.name], self.key[out.name] = names, key
                if is_size:
                    self.sizes.add(out.name)
                if data and (is_size or not tensors):
                    self.only_sizes.add(out.name)
                if is_size or not tensors:
                    self.asides.add(out.name)
                if len(tensors) == 1 and values.repeats(out.name, tensors[0]):
                    self.same_as[out.name] = tensors[0]

    def origin(self, name: str) -> str:
        """Return the value that a chain of repetitions begins with."""
        while name in self.same_as:
            name = self.same_as[name]
        return name
