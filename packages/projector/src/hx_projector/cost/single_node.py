"""A model of one node alone, and the body that defines its operator in place of it."""

from __future__ import annotations

import onnx
import onnx.inliner
import onnx_ir as ir

from hx_projector.cost.shapes import KnownShapes

_SMALL_BYTES = 1000
"""Tensors of sizes and axes are smaller: what decides shapes."""


def single_node_model(model: ir.Model, node: ir.Node, known: KnownShapes) -> onnx.ModelProto | None:
    """Return a model of one node, with its small constants and the model's functions.

    Nodes that are alike but for their names have equal models.

    Returns:
        None where the shape or type of an input is unknown.
    """
    proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain, overload=node.overload)
    proto.attribute.extend(ir.to_proto(attribute) for attribute in node.attributes.values())
    graph = onnx.GraphProto(name="alone", node=[proto])
    names: dict[ir.Value, str] = {}
    for value in node.inputs:
        if value is not None and value not in names:
            dtype, shape = known.dtype(value), known.shapes.get(value)
            if dtype is None or shape is None:
                return None
            names[value] = f"in{len(names)}"
            graph.input.append(onnx.helper.make_tensor_value_info(names[value], int(dtype), shape))
            if value.const_value is not None and value.const_value.nbytes <= _SMALL_BYTES:
                tensor = ir.Tensor(value.const_value.numpy(), dtype=dtype, name=names[value])
                graph.initializer.append(ir.to_proto(tensor))
    graph.node[0].input.extend(names[value] if value is not None else "" for value in node.inputs)
    for position, value in enumerate(node.outputs):
        graph.node[0].output.append(f"out{position}" if value.name else "")
        if value.name:
            dtype = known.dtype(value) or ir.DataType.FLOAT
            shape = known.shapes.get(value)
            graph.output.append(onnx.helper.make_tensor_value_info(f"out{position}", int(dtype), shape))
    imports = [onnx.helper.make_opsetid(*pair) for pair in model.opset_imports.items()]
    functions = [ir.to_proto(function) for function in model.functions.values()]
    return onnx.helper.make_model(graph, opset_imports=imports, functions=functions)


def expanded(alone: onnx.ModelProto) -> ir.Model | None:
    """Return a model of one node with the body of its function, or of its operator's definition, in place of the node.

    ONNX defines operators by others too: attention by two products.

    Returns:
        None where the node has no body for these inputs.
    """
    node = alone.graph.node[0]
    try:
        inlined = onnx.inliner.inline_selected_functions(
            alone, [(node.domain, node.op_type)], exclude=False, inline_schema_functions=True
        )
    except RuntimeError:  # its body is for other inputs
        return None
    model = ir.from_proto(inlined)
    identifier = (node.domain, node.op_type, node.overload)
    return None if any(inner.op_identifier() == identifier for inner in model.graph) else model
