"""The exported model, indexed for cutting."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cached_property

import onnx
import onnx_ir as ir

from hx_extractor._transformed import in_exported_types
from hx_extractor.cut.builder import Rebuild
from hx_extractor.cut.source import Source
from hx_graph import body_inputs, nodes_in, output_of, reads, values_by_name
from hx_sidecar_schema import MissingValue, RecoveredNode, Sidecar


class Parent:
    """Values of the main graph and its bodies by name, with the nodes behind them and their owners.

    Args:
        model: The exported model; never changed.
        sidecar: Of that model.
        exported: Types that the values have in the export which the model was made of; None for an export itself.
    """

    def __init__(
        self,
        model: ir.Model,
        sidecar: Sidecar,
        *,
        exported: Mapping[str, ir.DataType] | None = None,
    ) -> None:
        self.model = model
        self.sidecar = sidecar
        self.transformed = exported is not None
        self._exported = exported or {}
        self.values = values_by_name(model.graph)
        self.carried = {value.name for value in body_inputs(model.graph) if value.name}
        """Inputs of bodies: what a loop carries and scans, other values in every round."""
        owners = {(node.graph, node.output): node.owner for node in sidecar.nodes}
        self.owner: dict[str, int] = {}
        for path, node in nodes_in(model.graph):
            key = output_of(node)
            if key in self.values and self.values[key].producer() is node and (path, key) in owners:
                self.owner[key] = owners[path, key]
        self._sources: dict[int, Source] = {}

    def source(self, name: str) -> Source | None:
        """Return the node behind a value; None for inputs and initializers.

        Raises:
            HxError: HX201 if the model has no such value.
        """
        value = self.values.get(name)
        if value is None:
            raise MissingValue(
                f"Value {name!r} is not in the model.",
                hint="The .onnx file changed after the export; export it again.",
            )
        node = value.producer()
        if node is None:
            return None
        if id(node) not in self._sources:
            outputs = tuple(out.name or "" for out in node.outputs)
            self._sources[id(node)] = Source(node, tuple(reads(node)), outputs)
        return self._sources[id(node)]

    def owner_of(self, name: str) -> int | None:
        """Return the call that owns the node behind a value."""
        source = self.source(name)
        if source is None:
            return None
        return self.owner.get(output_of(source.node))

    def recovered(self, rows: Sequence[int]) -> dict[str, Source]:
        """Return recovered nodes by the values they make."""
        sources: dict[str, Source] = {}
        for row in rows:
            record = self.sidecar.recovered[row]
            for source in in_exported_types(_source(record), self.values, self._exported):
                sources.update((name, source) for name in source.outputs if name)
        return sources

    @cached_property
    def _lost(self) -> dict[str, Source]:
        """Recovered nodes that make values which the graph does not have."""
        return self.recovered(
            [
                row
                for row, record in enumerate(self.sidecar.recovered)
                if any(out not in self.values for out in record.outputs)
            ]
        )

    def holds(self, name: str) -> bool:
        """Say whether a value is in the main graph, or is made by recovered nodes of values that are."""
        if name in self.values:
            return self.values[name].graph is self.model.graph
        source = self._lost.get(name)
        return source is not None and all(self.holds(read) for read in source.reads)

    def up_to(self, names: Sequence[str]) -> ir.Model:
        """Return the part of the model that computes some values, recovered ones included, as its outputs."""
        lost = {name for name in names if name not in self.values}
        rebuild = Rebuild(self, self._lost if lost else {}, taken=())
        for value in self.model.graph.inputs:
            rebuild.add_input(str(value.name), str(value.name), value.dtype, value.shape)
        for index, name in enumerate(names):
            rebuild.add_output(name, f"hx_output_{index}", None, None)
        return rebuild.model()


def _source(record: RecoveredNode) -> Source:
    proto = onnx.NodeProto.FromString(base64.b64decode(record.proto))
    outputs = [
        ir.Value(
            name=name,
            type=None if dtype == "UNDEFINED" else ir.TensorType(ir.DataType[dtype]),
            shape=ir.Shape([None if dim == "?" else dim for dim in shape]),
        )
        for name, dtype, shape in zip(record.outputs, record.dtypes, record.shapes, strict=True)
    ]
    node = ir.Node(
        proto.domain,
        proto.op_type,
        [ir.Value(name=name) if name else None for name in record.inputs],
        [ir.serde.deserialize_attribute(attribute) for attribute in proto.attribute],
        overload=proto.overload,
        outputs=outputs,
    )
    return Source(node, tuple(name for name in record.inputs if name), tuple(record.outputs))
