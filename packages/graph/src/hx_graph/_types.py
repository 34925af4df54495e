"""Element types and shapes of a model's values."""

from __future__ import annotations

import logging

import onnx
import onnx_ir as ir

from hx_graph._nested import nodes_in
from hx_sidecar_schema import first_line

logger = logging.getLogger(__name__)

_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def infer_by_onnx(model: ir.Model) -> None:
    """Give a type and a shape to results of nodes that have none, in place, those of bodies and of other types than tensors too.

    ONNX does not know those of foreign operators; where its inference refuses the model as a whole, it knows none. Outputs of graphs
    stay as they are declared: they are part of `graph_digest`.
    """
    results = _results(model.graph)
    if all(value.type is not None and value.shape is not None for value in results):
        return
    try:
        proto = onnx.shape_inference.infer_shapes(ir.serde.serialize_model(without_weights(model)))
    except onnx.shape_inference.InferenceError as error:
        logger.warning("ONNX's inference knows no types of this model: %s", first_line(error))
        return
    drop_map_types(proto.graph)
    typed = _results(ir.serde.deserialize_model(proto).graph)
    for value, found in zip(results, typed, strict=True):
        value.type = value.type or found.type
        value.shape = value.shape if value.shape is not None else found.shape


def _results(graph: ir.Graph) -> list[ir.Value]:
    return [out for _, node in nodes_in(graph) for out in node.outputs if out.name and not out.is_graph_output()]


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


def drop_map_types(graph: onnx.GraphProto | onnx.FunctionProto) -> None:
    """Leave maps without a type: classifiers of scikit-learn have them as output, and onnx_ir (1.1) reads none."""
    ends = [*graph.input, *graph.output] if isinstance(graph, onnx.GraphProto) else []
    for value in (*ends, *graph.value_info):
        kind = value.type
        while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
            kind = kind.sequence_type.elem_type if kind.HasField("sequence_type") else kind.optional_type.elem_type
        if kind.HasField("map_type"):
            value.ClearField("type")
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs) if attribute.type in _GRAPHS else ():
                drop_map_types(body)
