"""Ports of calls whose `forward` nobody saw: the values that cross their boundaries, under their own names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import onnx_ir as ir

from hx_graph import (
    CallTree,
    body_inputs,
    body_path,
    dims_of,
    dtype_name,
    in_order,
    is_size_query,
    nested_graphs,
    output_of,
    reads,
    values_by_name,
)
from hx_sidecar_schema import ModuleContext, Port

_PlacedNode = tuple[str, ir.Node, tuple[str, str] | None]


def with_boundaries(
    graph: ir.Graph, context: ModuleContext, owners: Mapping[tuple[str, str], int], tree: CallTree
) -> ModuleContext:
    """Return a context whose calls have the values as ports that their nodes read and hand out.

    Numbers and lists of sizes are none: what needs them recomputes them. Nor are values of bodies that share their names. A
    call is fused that shares a node with a call outside it.

    A tensor that depends on no numbers of an input, such as a positional encoding, may be merged of equal ones of several
    modules, and belong to the first. It is a port where the call that made it hands out nothing else, or is around the
    reader; what others need of it they recompute.

    Args:
        graph: The main graph.
        context: Its calls have no ports yet.
        owners: Of all nodes of the graph and its bodies, by the path of their graph and their first output.
        tree: The calls of the context.
    """
    inputs: list[dict[str, ir.Value]] = [{} for _ in context.calls]
    outputs: list[dict[str, ir.Value]] = [{} for _ in context.calls]
    values = values_by_name(graph)
    makers: dict[str, int] = {}
    given = (*(value for value in graph.inputs if not value.is_initializer()), *body_inputs(graph))
    data = {value.name for value in given}
    sized = set[str]()
    """Values that depend on sizes, and on no numbers, of an input."""
    others: list[tuple[str, int]] = []
    """Values that are no data, and a call that reads each."""
    for path, node, receiver in _in_order(graph):
        reader = owners[path, output_of(node)]
        carries_data = carries_sizes = False
        for name in reads(node):
            value = values.get(name)
            carries_sizes |= name in sized or name in data
            if name not in data or value is None:
                if name in makers and makers[name] != reader:
                    others.append((name, reader))
                continue
            carries_data = not is_size_query(node)
            for row in _chain(tree, reader, makers.get(name)):
                inputs[row][name] = value
            if name in makers:
                for row in _chain(tree, makers[name], reader):
                    outputs[row][name] = value
        for out in node.outputs:
            if not out.name or values.get(out.name) is not out:
                continue
            makers[out.name] = reader
            if carries_data:
                data.add(out.name)
            elif carries_sizes:
                sized.add(out.name)
            if out.is_graph_output():
                around = None if receiver is None else owners[receiver]
                for row in _chain(tree, reader, around):
                    outputs[row][out.name] = out
    hand_out_data = [bool(found) for found in outputs]
    for name, reader in others:
        value, left = values[name], _chain(tree, makers[name], reader)
        if _is_tensor(value) and (not hand_out_data[left[-1]] if left else name in sized):
            for row in _chain(tree, reader, makers[name]):
                inputs[row][name] = value
            for row in left:
                outputs[row][name] = value
    shared: dict[int, set[int]] = {}
    """Calls that made only a part of a node, with the other ones that made it."""
    for rows in context.origins.values():
        for row in rows if len(rows) > 1 else ():
            for part in _chain(tree, row, tree.common(rows)):
                shared.setdefault(part, set()).update(other for other in rows if not tree.contains(part, other))
    calls = [
        call.model_copy(
            update={"inputs": _ports(inputs[row]), "outputs": _ports(outputs[row]), **_fused(context, shared.get(row))}
        )
        for row, call in enumerate(context.calls)
    ]
    return context.model_copy(update={"calls": calls})


def with_ports_in_bodies(
    graph: ir.Graph, context: ModuleContext, owners: Mapping[tuple[str, str], int], tree: CallTree
) -> ModuleContext:
    """Return the context of a PyTorch run in which calls that ran in bodies alone have the ports that the graph gives them.

    No run of the graph shows values of bodies. A port has the name of its side's only one in PyTorch, else that of its value.
    """
    inside, outside = ({row for (path, _), row in owners.items() if bool(path) is inner} for inner in (True, False))
    rows = [
        row
        for row in range(len(context.calls))
        if any(tree.contains(row, other) for other in inside)
        and not any(tree.contains(row, other) for other in outside)
    ]
    if not rows:
        return context
    found, calls = with_boundaries(graph, context, owners, tree).calls, list(context.calls)
    for row in rows:
        sides = {
            "inputs": _named_as(calls[row].inputs, found[row].inputs),
            "outputs": _named_as(calls[row].outputs, found[row].outputs),
        }
        calls[row] = calls[row].model_copy(update=sides)
    return context.model_copy(update={"calls": calls})


def _named_as(known: Sequence[Port], ports: Sequence[Port]) -> list[Port]:
    if len(known) == len(ports) == 1:
        return [ports[0].model_copy(update={"name": known[0].name})]
    return list(ports)


def _fused(context: ModuleContext, others: Collection[int] | None) -> dict[str, str]:
    """Return the status of a call that shares nodes with others, with its reason; nothing for one that shares none."""
    if not others:
        return {}
    tags = [context.modules[context.calls[other].module].tag for other in sorted(others)]
    return {"status": "fused", "reason": f"An optimiser merged it with nodes of {', '.join(map(repr, tags[:3]))}."}


def _is_tensor(value: ir.Value) -> bool:
    """Say whether a value is no number and no list of sizes, which have a fixed length."""
    if value.shape is not None and len(value.shape) < 2:
        return not value.shape.is_static()
    return value.dtype is not None and (value.shape is not None or value.dtype.is_floating_point())


def _in_order(graph: ir.Graph, path: str = "", around: tuple[str, str] | None = None) -> Iterator[_PlacedNode]:
    """Yield nodes in topological order, those of bodies before the node around them.

    With the path of their graph, and path and first output of the node around it; None for the main graph.
    """
    for node in in_order(graph):
        for name, body in nested_graphs(node):
            yield from _in_order(body, body_path(path, node, name), (path, output_of(node)))
        yield path, node, around


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
