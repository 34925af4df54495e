"""Walking a model with its nested graphs and functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter

import onnx_ir as ir


def output_of(node: ir.Node) -> str:
    """Return the first non-empty output: with the graph's path, the node's identity."""
    for out in node.outputs:
        name = out.name
        if name:
            return name
    return ""


def in_order(graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes of a graph in topological order, whatever their order in the file: some tools append."""
    nodes = list(graph)
    maker = {out.name: index for index, node in enumerate(nodes) for out in node.outputs if out.name}
    before = {
        index: [maker[name] for name in reads(node) if name in maker] for index, node in enumerate(nodes)
    }
    if all(earlier < index for index, rows in before.items() for earlier in rows):
        return nodes
    return [nodes[index] for index in TopologicalSorter(before).static_order()]


def nested_graphs(node: ir.Node) -> Iterator[tuple[str, ir.Graph]]:
    """Yield the bodies of a control-flow node with their attribute names."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.name, attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            for index, graph in enumerate(attribute.as_graphs()):
                yield f"{attribute.name}.{index}", graph


def nodes_below(node: ir.Node, path: str) -> Iterator[tuple[str, ir.Node]]:
    """Yield all nodes in the bodies of a node, with the paths of their graphs."""
    for name, graph in nested_graphs(node):
        inner_path = f"{path}/{output_of(node)}.{name}" if path else f"{output_of(node)}.{name}"
        for inner in graph:
            yield inner_path, inner
            yield from nodes_below(inner, inner_path)


def all_nodes(model: ir.Model) -> Iterator[tuple[str, ir.Node]]:
    """Yield all nodes with the paths of their graphs: bodies after their node, functions at the end."""
    for node in model.graph:
        yield "", node
        yield from nodes_below(node, "")
    for key, function in model.functions.items():
        path = "::".join(part for part in key if part)
        for node in function:
            yield path, node
            yield from nodes_below(node, path)


def body_inputs(graph: ir.Graph) -> list[ir.Value]:
    """Return the inputs of all bodies in a graph: what a loop carries and scans."""
    values: list[ir.Value] = []
    for node in graph:
        for _, body in nested_graphs(node) if node.attributes else ():
            values += [*body.inputs, *body_inputs(body)]
    return values


def values_by_name(graph: ir.Graph) -> dict[str, ir.Value]:
    """Return the values of a graph and its bodies. A body's value whose name is not its own alone is left out."""
    main = [*graph.inputs, *(out for node in graph for out in node.outputs)]
    values = {value.name: value for value in main if value.name}
    inner = [out for node in graph for _, below in nodes_below(node, "") for out in below.outputs]
    names = Counter(value.name for value in (*values.values(), *inner, *body_inputs(graph)))
    values.update(
        (out.name, out) for out in (*inner, *body_inputs(graph)) if out.name and names[out.name] == 1
    )
    return values


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


def reads(node: ir.Node) -> list[str]:
    """Return the names of all values that a node reads, its bodies included."""
    names = [name for value in node.inputs if value is not None and (name := value.name)]
    if node.attributes and any(a.type in _GRAPHS for a in node.attributes.values()):
        names += sorted(captured_values(node) - set(names))
    return names


_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
