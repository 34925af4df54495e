"""Element types and shapes of a model's values."""

from __future__ import annotations

import onnx_ir as ir


def infer_types(model: ir.Model) -> None:
    """Give a type and a shape to values that have none, in place; ONNX does not know those of foreign operators."""
    import onnx

    values = {out.name: out for node in model.graph for out in node.outputs if out.name}
    if all(value.type is not None and value.shape is not None for value in values.values()):
        return
    proto = onnx.shape_inference.infer_shapes(ir.serde.serialize_model(without_weights(model)))
    for info in proto.graph.value_info:
        value = values.get(info.name)
        if value is None or not info.type.HasField("tensor_type"):
            continue
        if value.type is None:
            value.type = ir.TensorType(ir.DataType(info.type.tensor_type.elem_type))
        if value.shape is None:
            value.shape = ir.serde.deserialize_type_proto_for_shape(info.type)


def value_types(graph: ir.Graph) -> dict[str, ir.DataType]:
    """Return the element types of a graph's values by name: inputs, initializers and outputs of its own nodes."""
    made = (out for node in graph for out in node.outputs)
    values = (*graph.inputs, *graph.initializers.values(), *made)
    return {value.name: value.dtype for value in values if value.name and value.dtype is not None}


def without_weights(model: ir.Model) -> ir.Model:
    """Return a copy whose weights are inputs: small, whatever the model's size."""
    bare = model.clone()
    for value in list(bare.graph.initializers.values()):
        bare.graph.initializers.pop(str(value.name))
        value.const_value = None
        bare.graph.inputs.append(value)
    return bare
