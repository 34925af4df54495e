"""What relinking needs of an export, read from its file by protobuf alone: to make the graph takes five times as long.

Each function here has a counterpart in `original` or `hx_graph` that reads the graph; a test holds them equal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from sys import intern

import onnx
import onnx_ir as ir

from hx_graph import body_path, check_external, is_map
from hx_projector._graph_index import GraphRows, NodeRow, Operator
from hx_projector.relinking.original import Original, Outline, ValueType
from hx_sidecar_schema import Sidecar


def read_original(path: Path, sidecar: Sidecar) -> Original | None:
    """Read a file that is as it was when its sidecar was written: what was checked then is not checked again.

    Returns:
        The same as `original_of`; None where the model has to be read as a whole: there are functions in it, nodes do not
        stand in the order in which they run, or the sidecar has other nodes.

    Raises:
        HxError: HX204 if external data is missing, cut short, no regular file, or outside the file's folder.
    """
    model = onnx.load(path, load_external_data=False)
    reader = _Reader()
    graph = reader.outline(model.graph, "", None)
    if model.functions or not reader.in_order or reader.keys != {row.key for row in sidecar.nodes}:
        return None
    check_external(reader.external, path)
    own, *inner = reader.types
    names = Counter(name for types in reader.types for name in types)
    alone = {name: known for types in inner for name, known in types.items() if names[name] == 1}
    return Original(graph, {**own, **alone} if inner else own)


class _Reader:
    def __init__(self) -> None:
        self.in_order = True
        self.keys: set[tuple[str, str]] = set()
        """Of all nodes, as rows of sidecars have them."""
        self.types: list[dict[str, ValueType]] = []
        """Of the main graph, then of every body."""
        self.external: list[tuple[str, ir.TensorProtocol]] = []
        """Tensors that lie in files of their own."""

    def outline(self, graph: onnx.GraphProto, path: str, around: Outline | None) -> Outline:
        """Return the outline of a graph and its bodies."""
        nodes = list(graph.node)
        types = _types_of(graph, nodes)
        self.types.append(types)
        self._note((tensor.name, tensor) for tensor in graph.initializer)
        weights = {tensor.name: types[tensor.name].dtype for tensor in graph.initializer if tensor.name}
        inputs = [info.name for info in graph.input if info.name not in weights]
        outputs = [info.name for info in graph.output]
        rows = [_row_of(node) for node in nodes]
        outline = Outline(path, GraphRows(inputs, outputs, weights, rows), types, around)
        self.keys.update((path, key) for key in outline.operators)
        later = set(outline.producer)
        for row, node in zip(rows, nodes, strict=True):
            self.in_order = self.in_order and later.isdisjoint(row.reads)
            later.difference_update(row.outputs)
            key = row.outputs[0] if row.outputs else ""
            for attribute in node.attribute:
                name = f"{key}.{attribute.name}"
                if attribute.type == onnx.AttributeProto.TENSOR:
                    self._note([(name, attribute.t)])
                elif attribute.type == onnx.AttributeProto.TENSORS:
                    self._note((f"{name}.{index}", tensor) for index, tensor in enumerate(attribute.tensors))
            for name, body in _bodies(node):
                outline.bodies[key, name] = self.outline(body, body_path(path, key, name), outline)
        return outline

    def _note(self, tensors: Iterable[tuple[str, onnx.TensorProto]]) -> None:
        kept = ((name, tensor) for name, tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL)
        self.external += [(name, ir.from_proto(tensor)) for name, tensor in kept]


def _row_of(node: onnx.NodeProto) -> NodeRow:
    inputs = [intern(name) for name in node.input]  # names stand where values are made, read and typed
    reads = [name for name in inputs if name]
    if node.attribute and (captured := _captured(node)):
        reads += sorted(captured - set(reads))
    domain = "" if node.domain == "ai.onnx" else intern(node.domain)
    outputs = [intern(name) for name in node.output if name]
    return NodeRow(
        Operator(intern(node.op_type), domain, node.name), reads, (inputs[0] or None) if inputs else None, outputs
    )


def _bodies(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """Yield the bodies of a node with their names, as `hx_graph.nested_graphs` does."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.name, attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            for index, graph in enumerate(attribute.graphs):
                yield f"{attribute.name}.{index}", graph


def _captured(node: onnx.NodeProto) -> set[str]:
    """Return the names that the bodies of a node read from the graphs around them, as `hx_graph.captured_values` does."""
    names: set[str] = set()
    for _, body in _bodies(node):
        inside = {"", *(info.name for info in body.input), *(tensor.name for tensor in body.initializer)}
        used = {info.name for info in body.output}
        for inner in body.node:
            inside.update(inner.output)
            used.update(inner.input, _captured(inner))
        names |= used - inside
    return names


def _types_of(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> dict[str, ValueType]:
    """Return what a graph says of its own values and weights, by name."""
    types = {info.name: _type_of(info.type) for info in graph.input}
    stated = {info.name: _type_of(info.type) for info in graph.value_info}
    for tensor in graph.initializer:
        if name := tensor.name:
            weight = _weight_of(tensor.data_type, tuple(tensor.dims))
            known = types.get(name) or stated.get(name) or weight
            types[name] = weight if known is weight else weight._replace(dtype=known.dtype, shape=known.shape)
    types |= {intern(name): stated.get(name, _UNKNOWN) for node in nodes for name in node.output if name}
    for info in graph.output:
        known = _type_of(info.type)
        types[info.name] = types[info.name]._replace(dtype=known.dtype, shape=known.shape)
    return types


_UNKNOWN = ValueType(None, None)


def _type_of(kind: onnx.TypeProto) -> ValueType:
    return _deserialised(kind.SerializeToString())


@cache
def _deserialised(kind: bytes) -> ValueType:
    proto = onnx.TypeProto.FromString(kind)
    if is_map(proto):
        return _UNKNOWN
    found = ir.serde.deserialize_type_proto_for_type(proto)
    return ValueType(None if found is None else found.dtype, ir.serde.deserialize_type_proto_for_shape(proto))


@cache
def _weight_of(dtype: int, dims: tuple[int, ...]) -> ValueType:
    return ValueType(ir.DataType(dtype), ir.Shape(dims, frozen=True), is_weight=True, elements=math.prod(dims))
