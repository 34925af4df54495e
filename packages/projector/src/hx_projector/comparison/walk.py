"""What nodes read, and a walk over a graph that depends on its topology alone."""

import onnx_ir as ir

from hx_graph import nested_graphs


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


def walk_order(graph: ir.Graph | ir.Function) -> list[ir.Node]:
    """Return the nodes as a depth-first walk from the outputs ends them, then those that lead to none; not in file order."""
    own = {id(node) for node in graph}
    begun: set[int] = set()
    ordered: list[ir.Node] = []
    ends = [producer for value in graph.outputs if (producer := value.producer()) is not None]
    for root in (*ends, *graph):
        pending = [(root, False)]
        while pending:
            node, ready = pending.pop()
            if ready:
                ordered.append(node)
            elif id(node) not in begun and id(node) in own:
                begun.add(id(node))  # before its operands: a cycle, which no valid graph has, is cut there
                pending.append((node, True))
                producers = [value.producer() for value in operands(node) if value is not None]
                pending += [(producer, False) for producer in reversed(producers) if producer is not None]
    return ordered
