"""The main graph of a model, by names of its values, beside the numbers of one run."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from hx_graph import in_order, is_size_query, output_of, reads
from hx_projector.witness.graph_run import GraphRun


class WitnessedGraph:
    """Producers of values, and which values are sizes, constants or copies; nodes go by their first outputs."""

    def __init__(self, model: ir.Model, run: GraphRun) -> None:
        """Index the main graph of a model that `run` is a run of."""
        self.run = run
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
        """What the node that produces a value reads."""
        self.producer: dict[str, str] = {}
        """The node that produces a value."""
        self.sizes: set[str] = set()
        """Results of Shape and Size."""
        self.size_dependent: set[str] = set()
        """Values that depend on the sizes of inputs and on none of their numbers."""
        self.input_independent: set[str] = set()
        """Values that depend on no number of an input: constants, and what is made of sizes alone."""
        self.copy_of: dict[str, str] = {}
        """Values that hold what the only value that their node reads holds, input-independent ones left out."""
        for node in self.nodes:
            names = reads(node)
            key = output_of(node)
            dependent = [name for name in names if name in run.input_dependent]
            tensors = [name for name in dependent if name not in self.size_dependent]
            is_size = is_size_query(node)
            for out in node.outputs:
                if not out.name:
                    continue
                self.reads[out.name], self.producer[out.name] = names, key
                if is_size:
                    self.sizes.add(out.name)
                if dependent and (is_size or not tensors):
                    self.size_dependent.add(out.name)
                if is_size or not tensors:
                    self.input_independent.add(out.name)
                if len(tensors) == 1 and run.is_identical(out.name, tensors[0]):
                    self.copy_of[out.name] = tensors[0]

    def copied_from(self, name: str) -> str:
        """Return the value at the start of the chain of copies that a value ends; itself where it is no copy."""
        while name in self.copy_of:
            name = self.copy_of[name]
        return name
