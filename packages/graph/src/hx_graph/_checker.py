"""The ONNX checker, without what it refuses though ONNX or ONNX Runtime allows it."""

from collections.abc import Iterable

import onnx

LATER = "hx.later"


def check_proto(proto: onnx.ModelProto) -> None:
    """Run the ONNX checker on a model, which is changed for that: what lies in other files is not read.

    The checker (onnx 1.23) wants inputs and outputs to have a shape, where ONNX takes a missing one for an unknown rank:
    those get an empty one. Operators that are newer than the model's opset are not checked: ONNX Runtime (1.31) has
    `LayerNormalization` for every opset, and puts it into older models.

    Raises:
        onnx.checker.ValidationError: With what it refuses.
    """
    for value in (*proto.graph.input, *proto.graph.output):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.dims[:] = [0]
    version = next((row.version for row in proto.opset_import if row.domain in ("", "ai.onnx")), 0)
    if _hide_newer(proto.graph.node, version):
        proto.opset_import.add(domain=LATER, version=1)
    onnx.checker.check_model(proto)


def _hide_newer(nodes: Iterable[onnx.NodeProto], version: int) -> bool:
    """Move nodes whose operator came after a version of ONNX's own opset to a domain that the checker does not know."""
    hidden = False
    for node in nodes:
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                hidden |= _hide_newer(graph.node, version)
        is_own = node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type)
        if is_own and not onnx.defs.has(node.op_type, version):
            node.domain, hidden = LATER, True
    return hidden
