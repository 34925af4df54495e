"""What relinking reads of an export: names, operators and types. The graph itself, ten times as large, need not be held."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import NamedTuple

import onnx_ir as ir

from hx_graph import INLINED, body_path, nested_graphs, output_of, reads_in_order, values_by_name
from hx_projector._graph_index import GraphRows, Wiring, rows_of


class ValueType(NamedTuple):
    """What is known of a value."""

    dtype: ir.DataType | None
    shape: ir.Shape | None
    is_weight: bool = False
    elements: int | None = None
    """Of a weight with numbers, how many."""


class InlinedName(NamedTuple):
    """What a value was called in the function of a module call, before that was inlined."""

    value: str
    of_node: bool
    """Whether the name is that of the node that produces the value."""
    function: str
    call: int
    name: str


class Outline(Wiring):
    """A graph of an export, by names alone."""

    def __init__(
        self, path: str, graph: GraphRows, types: MutableMapping[str, ValueType], around: Outline | None
    ) -> None:
        """Index a graph of a path, with the types of its values and weights; a body is entered into the graph around it."""
        super().__init__(graph, around)
        self.path = path
        self.types = types if around is None else ChainMap(types, around.types)
        """Those of the graphs around too."""
        self.bodies: dict[tuple[str, str], Outline] = {}
        """By the node and the name of the body, see `nested_graphs`."""
        self.inlined: list[InlinedName] = []

    def is_data_value(self, name: str) -> bool:
        """Say whether a value is produced by a node or is an input of a graph; weights are neither."""
        known = self.types.get(name)
        return known is not None and not known.is_weight

    def is_elementwise_of(self, name: str, other: str) -> bool:
        """Say whether a value is made of another of the same shape and of single numbers, and of nothing else."""
        for read in self.operands_of(name):
            elements = self.types[read].elements if read in self.initializers else None
            if read != other and (elements is None or elements > 1):
                return False
        one, two = self.types.get(name), self.types.get(other)
        return one is not None and two is not None and one.shape is not None and one.shape == two.shape


class Original(NamedTuple):
    """An export, as relinking reads it."""

    graph: Outline
    types: Mapping[str, ValueType]
    """Of values by name, those of bodies too, see `values_by_name`."""


def original_of(model: ir.Model) -> Original:
    """Return what relinking reads of a model, of which nothing is held."""
    graph = _outline_of(model.graph, "", None, inlined=INLINED in model.meta)
    return Original(graph, types_of(values_by_name(model.graph).values()) if graph.bodies else graph.types)


def _outline_of(graph: ir.Graph, path: str, around: Outline | None, *, inlined: bool) -> Outline:
    nodes = reads_in_order(graph)
    produced = (out for node in graph for out in node.outputs)
    types = types_of((*graph.inputs, *graph.initializers.values(), *produced))
    outline = Outline(path, rows_of(graph, nodes), types, around)
    for node in nodes:
        for name, body in nested_graphs(node) if node.attributes.data else ():
            inner = _outline_of(body, body_path(path, node, name), outline, inlined=inlined)
            outline.bodies[output_of(node), name] = inner
    if inlined:
        outline.inlined = list(_inlined_names(nodes))
    return outline


def types_of(values: Iterable[ir.Value]) -> dict[str, ValueType]:
    """Return what is known of values by their names; most share it with others."""
    shared: dict[object, ValueType] = {}
    found: dict[str, ValueType] = {}
    for value in values:
        if name := value.name:
            shape, tensor, is_weight = value.shape, value.const_value, value.is_initializer()
            elements = tensor.size if is_weight and tensor is not None else None
            key = value.dtype, None if shape is None else shape.dims, is_weight, elements
            if key not in shared:
                shared[key] = ValueType(value.dtype, shape, is_weight, elements)
            found[name] = shared[key]
    return found


def _inlined_names(nodes: Iterable[ir.Node]) -> Iterator[InlinedName]:
    for node in nodes:
        key = output_of(node)
        for value, one in ((key, node), *((str(out.name), out) for out in node.outputs if out.name)):
            if (place := one.meta.get(INLINED)) is not None and place[2]:
                yield InlinedName(value, one is node, *place)
