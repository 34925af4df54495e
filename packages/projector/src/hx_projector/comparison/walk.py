"""A walk over a graph that depends on its topology alone."""

import onnx_ir as ir

from hx_graph import operands


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
