"""What is relied on behind the door: a model's nodes read what exists, in order, and its tensors are whole."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import onnx_ir as ir

from hx_graph._nested import all_graphs, function_path, nested_graphs, nodes_in, output_of
from hx_graph._weights import tensors_in


def check_texts(model: ir.Model) -> None:
    """Refuse bytes in the place of text: protobuf (7.36) hands those that are no UTF-8 on as they are.

    Raises:
        ValueError: With the first that is none.
    """
    producer = model.producer_name, model.producer_version, model.domain
    _texts("model", *producer, model.doc_string, model.metadata_props, *model.opset_imports)
    for graph in all_graphs(model):
        _texts("graph", graph.name, graph.doc_string, graph.metadata_props)
        values = [] if isinstance(graph, ir.Function) else [*graph.inputs, *graph.initializers.values()]
        for node in graph:
            _texts(
                "node",
                node.name,
                node.op_type,
                node.domain,
                node.doc_string,
                node.metadata_props,
                *node.attributes.data,
            )
            values += node.outputs
            values += [value for value in node.inputs if value is not None and value.producer() is None]
        for value in values:
            _texts("value", value.name, value.doc_string, value.metadata_props)


def _texts(what: str, *texts: str | Mapping[str, str] | None) -> None:
    for text in texts:
        if isinstance(text, str) or not text:  # most: to ask for a mapping takes ten times as long
            continue
        if not isinstance(text, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"a text of a {what} is no UTF-8: {text!r}")
        _texts(f"metadata of a {what}", *text.keys(), *text.values())


def ensure_well_formed(model: ir.Model) -> None:
    """Refuse what no runtime could run.

    Raises:
        ValueError: If a node or an output reads what nothing makes, functions call each other in a circle, an attribute or
            a tensor has no type, or a tensor's bytes are not as many as its type and shape say.
    """
    calls = {key: {node.op_identifier() for _, node in nodes_in(one)} for key, one in model.functions.items()}
    try:
        TopologicalSorter({key: called & calls.keys() for key, called in calls.items()}).prepare()
    except CycleError as error:
        names = " -> ".join(map(function_path, error.args[1]))
        raise ValueError(f"functions call each other in a circle: {names}") from None
    for graph in all_graphs(model):
        for node in graph:
            for value in node.inputs:
                if value is not None and not _exists(value):
                    reader = f"node {output_of(node)!r} ({node.op_type})"
                    raise ValueError(f"{reader} reads {value.name!r}, which nothing makes")
            for attribute in node.attributes.data.values():  # a plain dict
                if attribute.type == ir.AttributeType.UNDEFINED:
                    raise ValueError(f"attribute {attribute.name!r} of node {output_of(node)!r} has no type")
        for value in graph.outputs:
            if not _exists(value):
                raise ValueError(f"nothing makes the output {value.name!r}")
    for slot in tensors_in(model):
        if slot.tensor.dtype == ir.DataType.UNDEFINED:
            raise ValueError(f"tensor {slot.name!r} has no element type")
        if isinstance(slot.tensor, ir.TensorProtoTensor) and not _is_whole(slot.tensor):
            raise ValueError(f"tensor {slot.name!r} does not hold {slot.tensor.shape} of {slot.tensor.dtype}")


def bring_into_order(model: ir.Model) -> None:
    """Bring nodes into topological order: some tools append them, and ONNX Runtime takes such files.

    Raises:
        ValueError: If nodes form a circle.
    """
    for graph in (model.graph, *model.functions.values()):
        if not _in_order(graph, set()):
            graph.sort()


def _exists(value: ir.Value) -> bool:
    return value.producer() is not None or value.is_graph_input() or value.is_initializer()


def _in_order(graph: ir.Graph | ir.Function, made: set[ir.Node]) -> bool:
    """Say whether every node stands behind the nodes whose outputs it and its bodies read; adds its nodes to `made`."""
    for node in graph:
        for value in node.inputs:
            maker = value.producer() if value is not None else None
            if maker is not None and maker not in made:
                return False
        if node.attributes and not all(_in_order(body, made) for _, body in nested_graphs(node)):
            return False
        made.add(node)
    return True


def _is_whole(tensor: ir.TensorProtoTensor) -> bool:
    if any(dim < 0 for dim in tensor.raw.dims):
        return False
    if tensor.raw.HasField("raw_data"):
        return len(tensor.raw.raw_data) == tensor.nbytes
    try:
        return tensor.numpy().shape == tensor.shape.numpy()
    except ValueError:
        return False
