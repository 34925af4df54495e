"""Types that a file leaves out, as ONNX infers them, and for operators that are not ONNX's own ONNX Runtime."""

from __future__ import annotations

import onnx_ir as ir

from hx_graph._session import open_session
from hx_graph._types import infer_by_onnx, without_weights


def infer_types(model: ir.Model) -> None:
    """Give a type and a shape to results of nodes that have none, in place, as far as ONNX and ONNX Runtime infer them.

    Outputs of graphs stay as they are declared: they are part of `graph_digest`.
    """
    infer_by_onnx(model)
    unknown = {out.name: out for node in model.graph for out in node.outputs if out.name and out.type is None}
    if not unknown:
        return
    proto = ir.serde.serialize_model(without_weights(model))
    del proto.graph.output[:]
    for name in unknown:
        proto.graph.output.add(name=name)
    try:
        session = open_session(proto.SerializeToString(), package="hx-graph")
    except Exception:  # noqa: BLE001 it is not installed, or does not load the model: its exceptions share no base class
        return
    for info in session.get_outputs():
        kind = info.type.removeprefix("tensor(").removesuffix(")").upper()
        value = unknown[info.name]
        if kind in ir.DataType.__members__:
            value.type = ir.TensorType(ir.DataType[kind])
            if value.shape is None and info.shape:  # an unknown rank looks like a scalar's (onnxruntime 1.31)
                value.shape = ir.Shape(info.shape)
