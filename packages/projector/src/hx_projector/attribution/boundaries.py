"""Ports of calls whose `forward` nobody saw: the values that cross their boundaries, under their own names."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from hx_graph import CallTree, dims_of, dtype_name
from hx_projector._graph_index import GraphIndex
from hx_sidecar_schema import ModuleContext, Port


def with_boundaries(
    graph: GraphIndex, context: ModuleContext, owners: Mapping[str, int], tree: CallTree
) -> ModuleContext:
    """Return a context whose calls have the values as ports that their nodes read and hand out.

    Constants and sizes are none: what needs them recomputes them. Owners are given by the first outputs of the nodes.
    """
    inputs: list[dict[str, ir.Value]] = [{} for _ in context.calls]
    outputs: list[dict[str, ir.Value]] = [{} for _ in context.calls]
    for key, names in graph.reads.items():
        reader = owners[key]
        for name in names:
            value = graph.value(name)
            if name not in graph.data or value is None:
                continue
            maker = owners[graph.producer[name]] if name in graph.producer else None
            for row in _chain(tree, reader, maker):
                inputs[row][name] = value
            if maker is not None:
                for row in _chain(tree, maker, reader):
                    outputs[row][name] = value
        for out in graph.nodes[key].outputs:
            if out.name and out.is_graph_output():
                for row in _chain(tree, reader, None):
                    outputs[row][out.name] = out
    calls = [
        call.model_copy(update={"inputs": _ports(inputs[row]), "outputs": _ports(outputs[row])})
        for row, call in enumerate(context.calls)
    ]
    return context.model_copy(update={"calls": calls})


def _ports(values: Mapping[str, ir.Value]) -> list[Port]:
    return [
        Port(name=name, value=name, dtype=dtype_name(value), shape=dims_of(value.shape))
        for name, value in values.items()
    ]


def _chain(tree: CallTree, row: int, other: int | None) -> list[int]:
    """Return a call and those around it that do not hold another call; all of them where that is outside."""
    found: list[int] = []
    current: int | None = row
    while current is not None and (other is None or not tree.contains(current, other)):
        found.append(current)
        current = tree.parent[current]
    return found
