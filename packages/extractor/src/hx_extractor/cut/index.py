"""The exported model, indexed for cutting."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

import onnx
import onnx_ir as ir

from hx_extractor._transformed import in_exported_types
from hx_extractor.cut.builder import Rebuild, bodies
from hx_extractor.cut.source import Source
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
        self.values: dict[str, ir.Value] = {}
        for value in (*model.graph.inputs, *model.graph.initializers.values()):
            self.values[str(value.name)] = value
        for node in model.graph:
            for out in node.outputs:
                if out.name:
                    self.values[out.name] = out
        inner, carried = _body_values(model.graph)
        names = Counter([*self.values, *(value.name for value in (*inner, *carried))])
        self.values.update((str(v.name), v) for v in (*inner, *carried) if names[v.name] == 1)
        self.carried = {str(value.name) for value in carried}
        """Inputs of bodies: what a loop carries and scans, other values in every round."""
        self.owner = {
            node.output: node.owner for node in sidecar.nodes if not node.graph or names[node.output] == 1
        }
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
            self._sources[id(node)] = Source(node, _reads(node), outputs)
        return self._sources[id(node)]

    def owner_of(self, name: str) -> int | None:
        """Return the call that owns the node behind a value."""
        source = self.source(name)
        if source is None:
            return None
        return self.owner.get(next((out for out in source.outputs if out), ""))

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


def _body_values(graph: ir.Graph) -> tuple[list[ir.Value], list[ir.Value]]:
    """Return what the bodies in a graph make and hold, and their inputs. Those with names."""
    inner: list[ir.Value] = []
    carried: list[ir.Value] = []
    for node in ir.traversal.RecursiveGraphIterator(graph):
        if node.graph is not graph:
            inner.extend(node.outputs)
        for body in bodies(node) if node.attributes else ():
            inner.extend(body.initializers.values())
            carried.extend(body.inputs)
    return [v for v in inner if v.name], [v for v in carried if v.name]


def _reads(node: ir.Node) -> tuple[str, ...]:
    names = [value.name for value in node.inputs if value is not None and value.name]
    for graph in bodies(node):
        inside = {id(value) for value in (*graph.inputs, *graph.initializers.values())}
        below = list(ir.traversal.RecursiveGraphIterator(graph))
        for inner in below:
            inside.update(id(out) for out in inner.outputs)
            for nested in bodies(inner):
                inside.update(id(value) for value in (*nested.inputs, *nested.initializers.values()))
        used = [value for inner in below for value in inner.inputs if value is not None]
        nested_outputs = [value for inner in below for nested in bodies(inner) for value in nested.outputs]
        names += [
            value.name
            for value in (*used, *graph.outputs, *nested_outputs)
            if id(value) not in inside and value.name
        ]
    return tuple(dict.fromkeys(names))


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
