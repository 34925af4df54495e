"""The graphs of a model as viewers draw them: nodes with what they read, attributes, and types of values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import onnx_ir as ir

from hx_graph import body_path, dims_of, dtype_name, function_path, nested_graphs, output_of
from hx_sidecar_schema import Sidecar

SHOWN_ELEMENTS = 32
"""A list or tensor in an attribute shows so many elements at most."""


class ValueType(NamedTuple):
    """Element type and shape of a value, as far as the file says."""

    dtype: str
    """ONNX's name of the element type; `UNDEFINED` where it is not known."""
    shape: list[int | str] | None
    """Integers, symbols, `?`; None where not even the rank is known."""

    def __str__(self) -> str:
        """Return the element type with the sizes behind it; `?` for a rank that is not known."""
        return f"{self.dtype}[{'?' if self.shape is None else ','.join(map(str, self.shape))}]"


class Read(NamedTuple):
    """A value that is read, and what it comes from."""

    value: str
    graph: str
    """Path of the graph that the value is of: the reader's own, or one around it."""
    node: int | None
    """Row of the node that makes it; None for an input or weight of the graph."""
    output: int
    """Which of the node's outputs it is; 0 where there is no node."""


class NodeView(NamedTuple):
    """One node of a graph, beside its row in the sidecar."""

    row: int
    """Position in `sidecar.nodes`: owner, evidence, confidence, operator and name are there."""
    domain: str
    reads: list[Read | None]
    """By place; None where an input is left out."""
    outputs: list[str]
    """Names by place, empty where an output is left out."""
    attributes: dict[str, str]
    """By name, as short text."""
    graphs: list[str]
    """Paths of its bodies, or of the function that it calls."""
    captures: list[Read]
    """Values that its bodies read from the graphs around them, each once."""


@dataclass(frozen=True)
class GraphView:
    """The main graph, a body or a function."""

    path: str
    """As `Node.graph` of a sidecar has it; empty for the main graph."""
    name: str
    """In the file; of a function its operator's."""
    inputs: list[str]
    outputs: list[Read]
    weights: list[str] = field(default_factory=list[str])
    """Initializers."""
    nodes: list[NodeView] = field(default_factory=list[NodeView])
    types: dict[str, ValueType] = field(default_factory=dict[str, ValueType])
    """Of inputs, weights and results of nodes, by name."""


def graphs_of(model: ir.Model, sidecar: Sidecar) -> dict[str, GraphView]:
    """Return the graphs of a model by path: the main graph, the functions, and the bodies behind what holds them.

    Args:
        model: Weights are not read.
        sidecar: With a row for each of its nodes.
    """
    rows = {node.key: row for row, node in enumerate(sidecar.nodes)}
    graphs = dict(_with_paths(model))
    made: dict[ir.Value, Read] = {}
    for path, graph in graphs.items():
        ends = [*graph.inputs, *(graph.initializers.values() if isinstance(graph, ir.Graph) else ())]
        made |= {value: Read(value.name or "", path, None, 0) for value in ends}
        for node in graph:
            row = rows[path, output_of(node)]
            made |= {out: Read(out.name or "", path, row, place) for place, out in enumerate(node.outputs)}
    views: dict[str, GraphView] = {}
    for path, graph in reversed(graphs.items()):  # a body before the node that holds it
        views[path] = _graph_view(path, graph, model, rows, made, views)
    return {path: views[path] for path in graphs}


def _with_paths(model: ir.Model) -> Iterator[tuple[str, ir.Graph | ir.Function]]:
    functions = [(function_path(key), function) for key, function in model.functions.items()]
    pending: list[tuple[str, ir.Graph | ir.Function]] = [*reversed(functions), ("", model.graph)]
    while pending:
        path, graph = pending.pop()
        yield path, graph
        inside = [
            (body_path(path, node, name), body)
            for node in graph
            if node.attributes
            for name, body in nested_graphs(node)
        ]
        pending += reversed(inside)


def _graph_view(
    path: str,
    graph: ir.Graph | ir.Function,
    model: ir.Model,
    rows: Mapping[tuple[str, str], int],
    made: Mapping[ir.Value, Read],
    views: Mapping[str, GraphView],
) -> GraphView:
    weights = list(graph.initializers.values()) if isinstance(graph, ir.Graph) else []
    view = GraphView(
        path=path,
        name=graph.name or "",
        inputs=[value.name or "" for value in graph.inputs],
        outputs=[made.get(value) or Read(value.name or "", path, None, 0) for value in graph.outputs],
        weights=[value.name or "" for value in weights],
    )
    for value in (*graph.inputs, *weights):
        view.types[value.name or ""] = _type_of(value)
    for node in graph:
        called = node.op_identifier()
        bodies = [body_path(path, node, name) for name, _ in nested_graphs(node)] if node.attributes else []
        view.nodes.append(
            NodeView(
                row=rows[path, output_of(node)],
                domain=node.domain,
                reads=[
                    None if value is None else made.get(value) or Read(value.name or "", path, None, 0)
                    for value in node.inputs
                ],
                outputs=[out.name or "" for out in node.outputs],
                attributes={name: _text(attribute) for name, attribute in node.attributes.items()}
                if node.attributes
                else {},
                graphs=[*bodies, *([function_path(called)] if called in model.functions else ())],
                captures=list(dict.fromkeys(read for body in bodies for read in _captured(views[body])))
                if bodies
                else [],
            )
        )
        for out in node.outputs:
            if out.name:
                view.types[out.name] = _type_of(out)
    return view


def _captured(graph: GraphView) -> list[Read]:
    """Return what a body, or a body inside it, reads from the graphs around it."""
    reads = [read for node in graph.nodes for read in (*node.reads, *node.captures) if read is not None]
    inside = f"{graph.path}/"
    return [read for read in (*reads, *graph.outputs) if read.graph != graph.path and not read.graph.startswith(inside)]


def _type_of(value: ir.Value) -> ValueType:
    tensor = value.const_value
    if value.type is None and tensor is not None:
        return ValueType(tensor.dtype.name, dims_of(tensor.shape))
    return ValueType(dtype_name(value), None if value.shape is None else dims_of(value.shape))


def _text(attribute: ir.Attr) -> str:
    """Return an attribute's value as short text; of a large tensor its type and shape."""
    if attribute.is_ref():
        return f"@{attribute.ref_attr_name}"
    match attribute.type:
        case ir.AttributeType.GRAPH | ir.AttributeType.GRAPHS:
            return "graph"
        case ir.AttributeType.TENSOR:
            return _tensor_text(attribute.as_tensor())
        case ir.AttributeType.TENSORS:
            return _list_text([_tensor_text(tensor) for tensor in attribute.as_tensors()])
        case _:
            value = attribute.value
            return _list_text(value) if isinstance(value, list | tuple) else str(value)


def _tensor_text(tensor: ir.TensorProtocol) -> str:
    if tensor.size <= SHOWN_ELEMENTS and not isinstance(tensor, ir.ExternalTensor):
        return str(tensor.numpy().tolist())
    return f"{tensor.dtype.name}[{','.join(map(str, tensor.shape))}]"


def _list_text(values: list[object] | tuple[object, ...]) -> str:
    left = len(values) - SHOWN_ELEMENTS
    shown = ", ".join(str(value) for value in values[:SHOWN_ELEMENTS])
    return f"[{shown}, ... {left} more]" if left > 0 else f"[{shown}]"
