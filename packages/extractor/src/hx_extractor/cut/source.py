"""Nodes as the cut sees them: the graph's own, and those from before the exporter's optimisation in their place."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from hx_graph import shape_from
from hx_sidecar_schema import RecoveredNode


@dataclass(frozen=True, eq=False)
class Source:
    """Where a value comes from: a node, with the names of what it reads and makes."""

    node: ir.Node
    reads: Sequence[str]
    outputs: Sequence[str]

    @property
    def key(self) -> str:
        """The first non-empty output: what the node is called in a sidecar."""
        return next((name for name in self.outputs if name), "")


def recovered_sources(
    records: Iterable[RecoveredNode], values: Mapping[str, ir.Value], exported: Mapping[str, ir.DataType]
) -> dict[str, Source]:
    """Return recovered nodes by the values that they make.

    Where `values` of the model have other types now than `exported` says, casts stand around the nodes. It has the types
    in the export that the model was made of, and is empty where it is that export.
    """
    sources: dict[str, Source] = {}
    for record in records:
        for source in _in_exported_types(_source(record), values, exported):
            sources.update((name, source) for name in source.outputs if name)
    return sources


def _source(record: RecoveredNode) -> Source:
    proto = onnx.NodeProto.FromString(base64.b64decode(record.proto))
    types = [None if dtype == "UNDEFINED" else ir.TensorType(ir.DataType[dtype]) for dtype in record.dtypes]
    outputs = [
        ir.Value(name=name, type=kind, shape=None if kind is None else shape_from(shape))  # else it cannot be written
        for name, kind, shape in zip(record.outputs, types, record.shapes, strict=True)
    ]
    node = ir.Node(
        proto.domain,
        proto.op_type,
        [ir.Value(name=name) if name else None for name in record.inputs],
        [ir.serde.deserialize_attribute(attribute) for attribute in proto.attribute],
        overload=proto.overload,
        outputs=outputs,
    )
    return Source(node, [name for name in record.inputs if name], record.outputs)


def _in_exported_types(
    source: Source, values: Mapping[str, ir.Value], exported: Mapping[str, ir.DataType]
) -> list[Source]:
    """Return a recovered node, with casts around it where the graph is in another precision now.

    The node is kept as it was exported, constants included; so it computes in the export's types.
    """
    if not exported:
        return [source]
    around: list[Source] = []
    node = source.node
    for index, read in enumerate(node.inputs):
        now = values.get(read.name) if read is not None and read.name else None
        was = exported.get(now.name) if now is not None and now.name else None
        if now is not None and was is not None and now.dtype not in (None, was):
            cast = _cast(str(now.name), f"{now.name}.exported", was)
            around.append(cast)
            node.replace_input_with(index, ir.Value(name=cast.outputs[0]))
    for out in node.outputs:
        now = values.get(out.name) if out.name else None
        if now is not None and now.dtype is not None and out.dtype not in (None, now.dtype):
            out.name = f"{now.name}.recovered"
            around.append(_cast(out.name, str(now.name), now.dtype))
    reads = [value.name for value in node.inputs if value is not None and value.name]
    return [*around, Source(node, reads, [out.name or "" for out in node.outputs])]


def _cast(read: str, made: str, dtype: ir.DataType) -> Source:
    out = ir.Value(name=made, type=ir.TensorType(dtype))
    return Source(ir.node("Cast", [ir.Value(name=read)], {"to": dtype.value}, outputs=[out]), [read], [made])
