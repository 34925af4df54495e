"""Ports of calls whose `forward` nobody saw: the values that cross their boundaries, under their own names."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from hx_graph import CallTree, dims_of, is_size_query, reads
from hx_projector.attribution.owners import OwnedNode
from hx_sidecar_schema import ModuleCall, ModuleContext, Port


def with_boundaries(
    model: ir.Model, context: ModuleContext, owned: Sequence[OwnedNode], tree: CallTree
) -> ModuleContext:
    """Return a context whose calls have the values as ports that their nodes read and hand out.

    Constants and sizes are none: what needs them recomputes them.
    """
    graph = model.graph
    maker: dict[str, int] = {}
    values = {str(value.name): value for value in graph.inputs if not value.is_initializer()}
    data = set(values)
    inputs: dict[int, dict[str, None]] = {}
    outputs: dict[int, dict[str, None]] = {}
    for row in owned:
        if row.graph:
            continue
        names = reads(row.node)
        for name in names:
            if name in data:
                for call in _chain(tree, row.owner, maker.get(name)):
                    inputs.setdefault(call, {}).setdefault(name)
                if name in maker:
                    for call in _chain(tree, maker[name], row.owner):
                        outputs.setdefault(call, {}).setdefault(name)
        flows = not is_size_query(row.node) and any(name in data for name in names)
        for out in row.node.outputs:
            if out.name:
                maker[out.name] = row.owner
                values[out.name] = out
                if flows:
                    data.add(out.name)
                if out.is_graph_output():
                    for call in _chain(tree, row.owner, None):
                        outputs.setdefault(call, {}).setdefault(out.name)

    def ports(names: dict[str, None]) -> list[Port]:
        return [
            Port(
                name=name,
                value=name,
                dtype=dtype.name if (dtype := values[name].dtype) else "UNDEFINED",
                shape=dims_of(values[name].shape),
            )
            for name in names
        ]

    calls: list[ModuleCall] = [
        call.model_copy(update={"inputs": ports(inputs.get(row, {})), "outputs": ports(outputs.get(row, {}))})
        for row, call in enumerate(context.calls)
    ]
    return context.model_copy(update={"calls": calls})


def _chain(tree: CallTree, row: int, other: int | None) -> list[int]:
    """Return a call and those around it that do not hold another call; all of them where that is outside."""
    found: list[int] = []
    current: int | None = row
    while current is not None and (other is None or not tree.contains(current, other)):
        found.append(current)
        current = tree.parent[current]
    return found
