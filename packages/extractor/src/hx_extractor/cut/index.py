"""The exported model, indexed: values by name, the nodes behind them, and their rows in the sidecar."""

from collections.abc import Iterable, Mapping
from functools import cached_property

import onnx_ir as ir

from hx_extractor.cut.source import Source, recovered_sources
from hx_graph import CutGraph, body_inputs, infer_queried_types, infer_types, nodes_in, output_of
from hx_sidecar_schema import MissingValue, Node, Sidecar


class GraphIndex:
    """A model and its sidecar, by the names of values.

    Args:
        model: Never changed, but for the types that its file leaves out.
        sidecar: Of that model, or of the export that it was made of.
        exported: Types that the values have in the export which the model was made of; None for an export itself.
    """

    def __init__(self, model: ir.Model, sidecar: Sidecar, exported: Mapping[str, ir.DataType] | None = None) -> None:
        """Index a model."""
        self.model = model
        self.sidecar = sidecar
        self.transformed = exported is not None
        self._exported = exported or {}
        self.rows = {node.key: node for node in sidecar.nodes}
        self.initializers = {row.name: row for row in sidecar.initializers}
        owners = {key: node.owner for key, node in self.rows.items()}
        infer_queried_types(model)
        # Weights without a value are inputs of the graph.
        self.graph = CutGraph(model.graph, owners, sidecar.sizes, self.initializers.keys())
        self.carried = {value.name for value in body_inputs(model.graph) if value.name}
        """What loops carry and scan: other values in every round."""
        self._sources: dict[ir.Node, Source] = {}

    def value(self, name: str) -> ir.Value:
        """Return a value of the main graph, or of a body where no other has its name; HX201 if there is none."""
        value = self.graph.values.get(name)
        if value is None:
            raise MissingValue(
                f"Value {name!r} is not in the model.", hint="The .onnx file changed after the export; export it again."
            )
        return value

    def source(self, name: str) -> Source | None:
        """Return the node behind a value; None for inputs and initializers; HX201 if the model has no such value."""
        node = self.value(name).producer()
        if node is None:
            return None
        if node not in self._sources:
            outputs = [out.name or "" for out in node.outputs]
            self._sources[node] = Source(node, self.graph.reads[name], outputs)
        return self._sources[node]

    def recovered(self, rows: Iterable[int]) -> dict[str, Source]:
        """Return the recovered nodes at some positions in `sidecar.recovered` by the values that they make."""
        records = (self.sidecar.recovered[row] for row in rows)
        return recovered_sources(records, self.graph.values, self._exported)

    @cached_property
    def typed(self) -> Mapping[str, ir.Value]:
        """The graph's values, with the types that the file leaves out."""
        infer_types(self.model)
        return self.graph.values

    @cached_property
    def lost(self) -> dict[str, Source]:
        """Recovered nodes that make values which the graph does not have, by all that they make."""
        records = enumerate(self.sidecar.recovered)
        values = self.graph.values
        return self.recovered(row for row, record in records if any(o not in values for o in record.outputs))

    def holds(self, name: str) -> bool:
        """Say whether a value is in the main graph, or is made by recovered nodes of values that are."""
        value = self.graph.values.get(name)
        if value is not None:
            return value.graph is self.model.graph
        source = self.lost.get(name)
        return source is not None and all(self.holds(read) for read in source.reads)

    def row_of(self, node: ir.Node) -> Node | None:
        """Return the sidecar's row of a node of the main graph or its bodies; of a recovered one that of its stand-in."""
        return self._node_rows.get(node) or self.rows.get(("", output_of(node)))

    @cached_property
    def _node_rows(self) -> dict[ir.Node, Node]:
        keys = ((node, (path, output_of(node))) for path, node in nodes_in(self.model.graph))
        return {node: self.rows[key] for node, key in keys if key in self.rows}
