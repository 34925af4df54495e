"""What a node, an attribute and a value are by themselves, whatever they are called; and what a node reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from hx_graph import function_path, nested_graphs

_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def operator_of(node: ir.Node) -> str:
    """Return domain, operator and overload, `::` between; the domain of ONNX's own is left out."""
    return function_path(node.op_identifier())


def plain_attributes(holder: ir.Node | ir.Function) -> str:
    """Return all attributes that are no graphs; numbers of tensors by their digest."""
    attributes: Mapping[str, ir.Attr] = holder.attributes
    if not attributes:
        return ""
    plain = [
        (name, attribute.type.name, content_of(attribute))
        for name, attribute in sorted(attributes.items())
        if attribute.type not in _GRAPHS
    ]
    return str(plain) if plain else ""


def content_of(attribute: ir.Attr) -> str:
    """Return an attribute's value, which is no graph, as text that is equal exactly for equal values."""
    kind = attribute.type
    if attribute.is_ref():
        return f"@{attribute.ref_attr_name}"
    # A file holds 32 bits; in memory the exporter's value may have 64.
    if kind == ir.AttributeType.FLOAT:
        return np.float32(attribute.as_float()).tobytes().hex()
    if kind == ir.AttributeType.FLOATS:
        return np.array(attribute.as_floats(), np.float32).tobytes().hex()
    if kind == ir.AttributeType.TENSOR:
        return _tensor(attribute.as_tensor())
    if kind == ir.AttributeType.TENSORS:
        return str([_tensor(tensor) for tensor in attribute.as_tensors()])
    return str(attribute.value)


def _tensor(tensor: ir.TensorProtocol) -> str:
    # Strings have no bytes of one length.
    text = tensor.dtype == ir.DataType.STRING
    content = repr(tensor.numpy().tolist()).encode() if text else tensor.tobytes()
    return f"{tensor.dtype} {list(tensor.shape)} {hashlib.sha256(content).hexdigest()}"


def type_of(value: ir.Value) -> str:
    """Return the type of a value: `FLOAT[2,?]`, of unknown rank `FLOAT[...]`, a sequence's `Sequence(Tensor(FLOAT))[2]`."""
    kind = value.type
    name = str(kind.dtype) if isinstance(kind, ir.TensorType) else str(kind)
    if value.shape is None:
        return f"{name}[...]"
    return f"{name}[{','.join('?' if not isinstance(dim, int) else str(dim) for dim in value.shape)}]"


def places(node: ir.Node) -> list[ir.Value | None]:
    """Return what stands at every input of a node, None where one is left out, then what its bodies capture."""
    values = list(node.inputs)
    if node.attributes:
        for _, graph in nested_graphs(node):
            values += captures(graph)
    return values


def captures(graph: ir.Graph) -> list[ir.Value]:
    """Return the values around a body that it reads, in the order in which its outputs lead back to them.

    Those that only nodes without a use read come last, in the order of these nodes.
    """
    own = {id(value) for value in (*graph.inputs, *graph.initializers.values())}
    own.update(id(out) for node in graph for out in node.outputs)
    found: dict[int, ir.Value] = {}
    seen: set[int] = set()
    pending: list[ir.Value | None] = list(reversed(graph.outputs))
    pending[:0] = [value for node in reversed(list(graph)) for value in reversed(places(node))]
    while pending:
        value = pending.pop()
        if value is None or id(value) in seen:
            continue
        seen.add(id(value))
        producer = value.producer()
        if id(value) not in own:
            found[id(value)] = value
        elif producer is not None:
            pending += reversed(places(producer))
    return list(found.values())


def walk_order(graph: ir.Graph | ir.Function) -> list[ir.Node]:
    """Return the nodes as a walk from the outputs meets them, what a node reads before it; then those that lead to none.

    Files may have nodes in any order.
    """
    own = {id(node) for node in graph}
    begun: set[int] = set()
    ordered: list[ir.Node] = []
    ends = [producer for value in graph.outputs if (producer := value.producer()) is not None]
    for root in (*ends, *graph):
        pending = [(root, False)]
        while pending:
            node, ready = pending.pop()
            if ready:
                ordered.append(node)
            elif id(node) not in begun and id(node) in own:
                begun.add(
                    id(node)
                )  # before its sources are: a circle, which no valid graph has, is cut there
                pending.append((node, True))
                sources = [value.producer() for value in places(node) if value is not None]
                pending += [(source, False) for source in reversed(sources) if source is not None]
    return ordered
