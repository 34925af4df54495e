"""Walks over a model with the graphs inside its nodes, and its functions; and what names a node: a path and an output."""

from collections import Counter
from collections.abc import Iterator, Mapping

import onnx_ir as ir


def output_of(node: ir.Node) -> str:
    """Return the first non-empty output: with the path of the graph, the node's identity."""
    for out in node.outputs:
        if name := out.name:
            return name
    return ""


def body_path(path: str, node: ir.Node | str, attribute: str) -> str:
    """Return the path of a node's body: that of the node's graph, the node, and the body as `nested_graphs` names it.

    A node may be given by its first output.
    """
    output = node if isinstance(node, str) else output_of(node)
    return f"{path}/{output}.{attribute}" if path else f"{output}.{attribute}"


def function_path(key: ir.OperatorIdentifier) -> str:
    """Return the path of a model-local function, or the name of an operator: domain, name and overload, `::` between.

    ONNX's own domain and an empty overload are left out.
    """
    return "::".join(part for part in key if part)


def nested_graphs(node: ir.Node) -> Iterator[tuple[str, ir.Graph]]:
    """Yield the bodies of a control-flow node with their names in paths: the attribute, with a number in a list.

    An attribute of a function's node that refers to one of the function's own has no graph.
    """
    for attribute in node.attributes.data.values():  # a plain dict: walks of large graphs spend their time here
        if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
            yield attribute.name, attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS and not attribute.is_ref():
            for index, graph in enumerate(attribute.as_graphs()):
                yield f"{attribute.name}.{index}", graph


def nodes_in(graph: ir.Graph | ir.Function, path: str = "") -> Iterator[tuple[str, ir.Node]]:
    """Yield all nodes of a graph of a `path` with the paths of their graphs, those of bodies after their node."""
    for node in graph:
        yield path, node
        if node.attributes.data:
            yield from nodes_below(node, path)


def nodes_below(node: ir.Node, path: str = "") -> Iterator[tuple[str, ir.Node]]:
    """Yield all nodes in the bodies of a node, which is in the graph of a `path`, with the paths of their graphs."""
    for name, graph in nested_graphs(node):
        yield from nodes_in(graph, body_path(path, node, name))


def all_nodes(model: ir.Model) -> Iterator[tuple[str, ir.Node]]:
    """Yield all nodes with the paths of their graphs: bodies after their node, functions at the end."""
    yield from nodes_in(model.graph)
    for key, function in model.functions.items():
        yield from nodes_in(function, function_path(key))


def called_functions(
    graph: ir.Graph, functions: Mapping[ir.OperatorIdentifier, ir.Function]
) -> set[ir.OperatorIdentifier]:
    """Return which of some functions the nodes of a graph call, and those that these call."""
    pending = [node.op_identifier() for _, node in nodes_in(graph)]
    found: set[ir.OperatorIdentifier] = set()
    while pending:
        key = pending.pop()
        if key in functions and key not in found:
            found.add(key)
            pending += [node.op_identifier() for _, node in nodes_in(functions[key])]
    return found


def bodies_in(graph: ir.Graph | ir.Function) -> Iterator[ir.Graph]:
    """Yield all bodies in a graph, an outer one before those inside it."""
    for node in graph:
        if node.attributes.data:
            for _, body in nested_graphs(node):
                yield body
                yield from bodies_in(body)


def all_graphs(model: ir.Model) -> Iterator[ir.Graph | ir.Function]:
    """Yield the main graph, the functions, and after each of them all bodies in it."""
    for graph in (model.graph, *model.functions.values()):
        yield graph
        yield from bodies_in(graph)


def body_inputs(graph: ir.Graph) -> list[ir.Value]:
    """Return the inputs of all bodies in a graph: what a loop carries and scans."""
    return [value for body in bodies_in(graph) for value in body.inputs]


def values_in(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yield all values of a graph and of the bodies in it: inputs, initializers and outputs of nodes."""
    for each in (graph, *bodies_in(graph)):
        yield from _own_values(each)


def _own_values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def values_by_name(graph: ir.Graph) -> dict[str, ir.Value]:
    """Return the values of a graph and its bodies. A body's value whose name is not its own alone is left out."""
    values = {name: value for value in _own_values(graph) if (name := value.name)}
    inner = [value for body in bodies_in(graph) for value in _own_values(body) if value.name]
    if inner:
        names = Counter([*values, *(value.name for value in inner)])
        values.update((value.name, value) for value in inner if value.name and names[value.name] == 1)
    return values
