"""Ports of calls whose `forward` nobody saw: the values that cross their boundaries, under their own names."""

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from hx_graph import CallTree, body_inputs, in_order, is_size_query, nested_graphs, reads, values_by_name
from hx_projector.attribution.owners import OwnedNodes
from hx_projector.attribution.status import merged_calls, port_of
from hx_sidecar_schema import ModuleContext, Port


def with_boundaries(graph: ir.Graph, context: ModuleContext, owned: OwnedNodes, tree: CallTree) -> ModuleContext:
    """Return a context whose calls, without ports yet, have the values as ports that their nodes read and hand out.

    Numbers and lists of sizes are none: what needs them recomputes them. Nor are values of bodies that share their names. A
    call is fused that shares a node with a call outside it.

    A tensor that depends on no numbers of an input, such as a positional encoding, may be merged of equal ones of several
    modules, and belong to the first. It is a port where the call that made it hands out nothing else, or is around the
    reader; what others need of it they recompute.
    """
    inputs: list[dict[str, ir.Value]] = [{} for _ in context.calls]
    outputs: list[dict[str, ir.Value]] = [{} for _ in context.calls]
    values = values_by_name(graph)
    makers: dict[str, int] = {}

    def cross(value: ir.Value, reader: int) -> None:
        name = str(value.name)
        for row in tree.leaving(reader, makers.get(name)):
            inputs[row][name] = value
        for row in tree.leaving(makers.get(name), reader):
            outputs[row][name] = value

    given = (*(value for value in graph.inputs if not value.is_initializer()), *body_inputs(graph))
    data = {value.name for value in given}
    sized = set[str]()
    """Values that depend on sizes, and on no numbers, of an input."""
    others: list[tuple[str, int]] = []
    """Values that are no data, and a call that reads each."""
    for node, receiver in _in_order(graph, None):
        reader = owned[node].owner
        carries_data = carries_sizes = False
        for name in reads(node):
            value = values.get(name)
            carries_sizes |= name in sized or name in data
            if name in data and value is not None:
                carries_data = not is_size_query(node)
                cross(value, reader)
            elif name in makers and makers[name] != reader:
                others.append((name, reader))
        for out in node.outputs:
            if not out.name or values.get(out.name) is not out:
                continue
            makers[out.name] = reader
            if carries_data:
                data.add(out.name)
            elif carries_sizes:
                sized.add(out.name)
            if out.is_graph_output():
                for row in tree.leaving(reader, None if receiver is None else owned[receiver].owner):
                    outputs[row][out.name] = out
    hand_out_data = [bool(found) for found in outputs]
    # What the model hands on as it is goes through no node.
    handed_on = {str(value.name): value for value in graph.outputs if value.producer() is None}
    outputs[0] |= handed_on
    inputs[0] |= {name: value for name, value in handed_on.items() if name in data}
    for name, reader in others:
        left = list(tree.leaving(makers[name], reader))
        if _is_tensor(values[name]) and (not hand_out_data[left[-1]] if left else name in sized):
            cross(values[name], reader)
    merged = merged_calls(context, tree)
    calls = list(context.calls)
    for row, call in enumerate(calls):
        sides = {"inputs": inputs[row], "outputs": outputs[row]}
        update: dict[str, object] = {side: list(map(port_of, values.values())) for side, values in sides.items()}
        if row in merged:
            tags = [context.modules[calls[other].module].tag for other in sorted(merged[row])]
            reason = f"An optimiser merged it with nodes of {', '.join(map(repr, tags[:3]))}."
            update |= {"status": "fused", "reason": reason}
        calls[row] = call.model_copy(update=update)
    return context.model_copy(update={"calls": calls})


def with_ports_in_bodies(graph: ir.Graph, context: ModuleContext, owned: OwnedNodes, tree: CallTree) -> ModuleContext:
    """Return the context of a PyTorch run in which calls that ran in bodies alone have the ports that the graph gives them.

    No run of the graph shows values of bodies. A port has the name of its side's only one in PyTorch, else that of its value.
    """
    inside, outside = ({row.owner for row in owned.values() if bool(row.graph) is inner} for inner in (True, False))
    rows = [
        row
        for row in range(len(context.calls))
        if any(tree.contains(row, other) for other in inside)
        and not any(tree.contains(row, other) for other in outside)
    ]
    if not rows:
        return context
    found, calls = with_boundaries(graph, context, owned, tree).calls, list(context.calls)

    def named(known: Sequence[Port], ports: Sequence[Port]) -> Sequence[Port]:
        only = len(known) == len(ports) == 1
        return [ports[0].model_copy(update={"name": known[0].name})] if only else ports

    for row in rows:
        call, now = calls[row], found[row]
        sides = {"inputs": named(call.inputs, now.inputs), "outputs": named(call.outputs, now.outputs)}
        calls[row] = call.model_copy(update=sides)
    return context.model_copy(update={"calls": calls})


def _is_tensor(value: ir.Value) -> bool:
    """Say whether a value is no number and no list of sizes, which have a fixed length."""
    if value.shape is not None and len(value.shape) < 2:
        return not value.shape.is_static()
    return value.dtype is not None and (value.shape is not None or value.dtype.is_floating_point())


def _in_order(graph: ir.Graph, around: ir.Node | None) -> Iterator[tuple[ir.Node, ir.Node | None]]:
    """Yield nodes in topological order, those of bodies before the node around them, which comes with them."""
    for node in in_order(graph):
        for _, body in nested_graphs(node):
            yield from _in_order(body, node)
        yield node, around
