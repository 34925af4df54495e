"""Element types and shapes of a model's values: those that a file leaves out as ONNX and ONNX Runtime infer them."""

import logging

import onnx
import onnx_ir as ir

from hx_graph._dims import is_size_query
from hx_graph._files import drop_map_types
from hx_graph._nested import nodes_in
from hx_graph._session import open_session
from hx_sidecar_schema import first_line

logger = logging.getLogger(__name__)


def infer_types(model: ir.Model) -> None:
    """Give a type and a shape to results of nodes that have none, in place, as far as ONNX and ONNX Runtime infer them.

    Outputs of graphs stay as they are declared: they are part of `graph_digest`.
    """
    _infer_by_onnx(model)
    unknown = {out.name: out for node in model.graph for out in node.outputs if out.name and out.type is None}
    if not unknown:
        return
    proto = ir.serde.serialize_model(without_weights(model))
    del proto.graph.output[:]
    for name in unknown:
        proto.graph.output.add(name=name)
    try:
        session = open_session(proto.SerializeToString())
    except Exception:  # noqa: BLE001 it is not installed, or does not load the model: its exceptions share no base class
        return
    for info in session.get_outputs():
        kind = info.type.removeprefix("tensor(").removesuffix(")").upper()
        value = unknown[info.name]
        if kind in ir.DataType.__members__:
            value.type = ir.TensorType(ir.DataType[kind])
            if value.shape is None and info.shape:  # an unknown rank looks like a scalar's (onnxruntime 1.31)
                value.shape = ir.Shape(info.shape)


def lacks_queried_types(model: ir.Model) -> bool:
    """Say whether nodes read sizes of values whose shapes a model leaves out."""
    queries = (node for _, node in nodes_in(model.graph) if is_size_query(node) and node.inputs)
    return any(value is not None and value.shape is None for node in queries for value in node.inputs)


def infer_queried_types(model: ir.Model) -> None:
    """Infer types, in place, where a model lacks queried ones.

    What a cut takes in depends on them: it must be found by the same shapes whenever it is asked for.
    """
    if lacks_queried_types(model):
        infer_types(model)


def _infer_by_onnx(model: ir.Model) -> None:
    """Infer what ONNX knows, of bodies too: nothing of foreign operators, or of a model that its inference refuses."""
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
