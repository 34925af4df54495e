"""What nodes read, their bodies included."""

from collections.abc import Sequence
from graphlib import TopologicalSorter

import onnx_ir as ir

from hx_graph._nested import nested_graphs

_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def reads(node: ir.Node) -> list[str]:
    """Return the names of all values that a node reads: its inputs, then what its bodies capture, sorted."""
    names = [name for value in node.inputs if value is not None and (name := value.name)]
    if (attributes := node.attributes.data) and any(a.type in _GRAPHS for a in attributes.values()):
        names += sorted(captured_values(node) - set(names))
    return names


def captured_values(node: ir.Node) -> set[str]:
    """Return the names that the bodies of a node read from the graphs around them."""
    names: set[str] = set()
    for _, graph in nested_graphs(node):
        inside = {value.name for value in (*graph.inputs, *graph.initializers.values())}
        used: set[str | None] = {value.name for value in graph.outputs}
        for inner in graph:
            inside.update(out.name for out in inner.outputs)
            used.update(value.name for value in inner.inputs if value is not None)
            used.update(captured_values(inner))
        names.update(name for name in used - inside if name)
    return names


def inputs_of(node: ir.Node) -> list[ir.Value | None]:
    """Return a node's inputs, without those at the end that are left out."""
    values = list(node.inputs)
    while values and values[-1] is None:
        values.pop()
    return values


def operands(node: ir.Node) -> list[ir.Value | None]:
    """Return what a node reads: its inputs, None where one is left out, then what its bodies capture."""
    values = inputs_of(node)
    if node.attributes:
        for _, graph in nested_graphs(node):
            values += captures(graph)
    return values


def captures(graph: ir.Graph) -> list[ir.Value]:
    """Return the values around a body that it reads, as its outputs lead to them; last, what only unused nodes read."""
    own = {id(value) for value in (*graph.inputs, *graph.initializers.values())}
    own.update(id(out) for node in graph for out in node.outputs)
    found: dict[int, ir.Value] = {}
    seen: set[int] = set()
    pending: list[ir.Value | None] = list(reversed(graph.outputs))
    pending[:0] = [value for node in reversed(list(graph)) for value in reversed(operands(node))]
    while pending:
        value = pending.pop()
        if value is None or id(value) in seen:
            continue
        seen.add(id(value))
        producer = value.producer()
        if id(value) not in own:
            found[id(value)] = value
        elif producer is not None:
            pending += reversed(operands(producer))
    return list(found.values())


def in_order(graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes of a graph in topological order, whatever their order in the file: some tools append."""
    return list(reads_in_order(graph))


def reads_in_order(graph: ir.Graph) -> dict[ir.Node, list[str]]:
    """Return what the nodes of a graph read, see `reads`, by node in topological order."""
    read = {node: reads(node) for node in graph}
    maker = {out.name: index for index, node in enumerate(read) for out in node.outputs if out.name}
    if all(maker.get(name, -1) < index for index, names in enumerate(read.values()) for name in names):
        return read
    nodes = list(read)
    before = {index: [maker[name] for name in read[node] if name in maker] for index, node in enumerate(nodes)}
    return {nodes[index]: read[nodes[index]] for index in TopologicalSorter(before).static_order()}


def consumer_calls(nodes: Sequence[ir.Node], owners: Sequence[int], ends: Sequence[int]) -> list[list[int]]:
    """Return for each node the calls outside its owner's subtree that read its outputs.

    `nodes` are all that may read, those of bodies and functions too; `ends` are the rows after each call's last descendant.
    """
    readers: dict[ir.Value, set[int]] = {}
    for node, owner in zip(nodes, owners, strict=True):
        for value in node.inputs:
            if value is not None:
                readers.setdefault(value, set()).add(owner)
    found: list[list[int]] = []
    for node, owner in zip(nodes, owners, strict=True):
        calls = {call for out in node.outputs for call in readers.get(out, ())}
        found.append(sorted(call for call in calls if not owner <= call < ends[owner]))
    return found
