"""The values of a main graph beside the numbers of one run: which are sizes or constants, which are copies."""

from __future__ import annotations

from hx_graph import is_size_query
from hx_projector.witness.graph_run import GraphRun


class WitnessedGraph:
    """Kinds of the values of a main graph, by their names; nodes go by their first outputs."""

    def __init__(self, run: GraphRun) -> None:
        """Sort the values of the graph that was run."""
        self.run = run
        self.index = index = run.graph
        self.is_static = all(
            value is not None and value.shape is not None and value.shape.is_static()
            for value in map(index.value, index.inputs)
        )
        """Whether no dimension of an input is symbolic."""
        self.sizes: set[str] = set()
        """Results of Shape and Size."""
        self.size_dependent: set[str] = set()
        """Values that depend on the sizes of inputs and on none of their numbers."""
        self.input_independent: set[str] = set()
        """Values that depend on no number of an input: constants, and what is made of sizes alone."""
        self.copy_of: dict[str, str] = {}
        """Values that hold what the only value that their node reads holds, input-independent ones left out."""
        for key, node in index.nodes.items():
            dependent = [name for name in index.reads[key] if name in run.input_dependent]
            tensors = [name for name in dependent if name not in self.size_dependent]
            is_size = is_size_query(node)
            outputs = index.outputs_of(key)
            if is_size:
                self.sizes.update(outputs)
            if is_size or not tensors:
                self.input_independent.update(outputs)
                if dependent:
                    self.size_dependent.update(outputs)
            if len(tensors) == 1:
                self.copy_of.update((out, tensors[0]) for out in outputs if run.is_identical(out, tensors[0]))

    def copied_from(self, name: str) -> str:
        """Return the value at the start of the chain of copies that a value ends; itself where it is no copy."""
        while name in self.copy_of:
            name = self.copy_of[name]
        return name
