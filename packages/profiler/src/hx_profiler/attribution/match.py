"""Which node of the executed graph a kernel ran."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from hx_graph import body_path, nested_graphs, output_of
from hx_profiler._trace import Key, Trace


@dataclass(frozen=True)
class ExecutedNode:
    """A node of the main graph or of a body.

    Attributes:
        graph: Path of its graph as in a sidecar; empty for the main graph.
        output: Its first non-empty output.
        name: Its name; may be empty or that of other nodes too.
        op_type: Its operator.
        container: Position of the node whose body it is in; None in the main graph.
        has_bodies: Whether it has bodies itself, as If, Loop and Scan do.
    """

    graph: str
    output: str
    name: str
    op_type: str
    container: int | None
    has_bodies: bool


def executed_nodes(model: ir.Model) -> list[ExecutedNode]:
    """Return the nodes of the main graph and of all bodies, in the file's order, a node before those in its bodies."""
    nodes: list[ExecutedNode] = []

    def add(graph: ir.Graph, path: str, container: int | None) -> None:
        for node in graph:
            bodies = list(nested_graphs(node))
            nodes.append(ExecutedNode(path, output_of(node), node.name or "", node.op_type, container, bool(bodies)))
            position = len(nodes) - 1
            for name, body in bodies:
                add(body, body_path(path, node, name), position)

    add(model.graph, "", None)
    return nodes


def match(trace: Trace, nodes: Sequence[ExecutedNode]) -> dict[Key, list[int]]:
    """Find the nodes that the kernels of a trace ran.

    A name that only one node has decides. The rest are nodes without a name, which ONNX Runtime makes when it inlines
    functions, and nodes that share a name. Measured with ONNX Runtime 1.31: a graph that it changed is written in the
    order of execution, one that it did not in the order of `node_index`. Where the operators agree in one of these
    orders, the position decides.

    Args:
        trace: Its events' keys are matched.
        nodes: Nodes of the graph that ran, as `executed_nodes` returns them.

    Returns:
        For each key, the positions of the nodes that it may be: one where that is known, several where the profile does
        not tell them apart, none where the graph has no such node.
    """
    keys = list(dict.fromkeys(event.key for event in trace.events))
    found = _by_name(keys, nodes)
    open_keys = [key for key in keys if key not in found]
    if open_keys:
        places = [_by_position(order, nodes, found) for order in (keys, sorted(keys, key=lambda k: k.node_index))]
        taken = {positions[0] for positions in found.values() if len(positions) == 1}
        for key in open_keys:
            positions = sorted({place[key] for place in places if key in place})
            found[key] = positions or _alike(key, nodes, taken)
    return found


def _by_name(keys: Sequence[Key], nodes: Sequence[ExecutedNode]) -> dict[Key, list[int]]:
    named: dict[tuple[str, str], list[int]] = defaultdict(list)
    for position, node in enumerate(nodes):
        if node.name:
            named[node.name, node.op_type].append(position)
    rivals = Counter((key.name, key.op_type) for key in keys)
    return {
        key: positions
        for key in keys
        if len(positions := named.get((key.name, key.op_type), [])) == 1 and rivals[key.name, key.op_type] == 1
    }


def _by_position(keys: Sequence[Key], nodes: Sequence[ExecutedNode], found: dict[Key, list[int]]) -> dict[Key, int]:
    """Pair keys with the nodes of the main graph in this order; return no pair at all where one does not agree."""
    main = [position for position, node in enumerate(nodes) if node.container is None]
    order = [key for key in keys if key not in found or nodes[found[key][0]].container is None]
    if len(main) != len(order):
        return {}
    for key, position in zip(order, main, strict=True):
        fits = found[key] == [position] if key in found else nodes[position].op_type == key.op_type
        if not fits:
            return {}
    return dict(zip(order, main, strict=True))


def _alike(key: Key, nodes: Sequence[ExecutedNode], taken: set[int]) -> list[int]:
    unnamed = key.name == f"{key.op_type}_{key.node_index}"
    return [
        position
        for position, node in enumerate(nodes)
        if position not in taken
        and node.op_type == key.op_type
        and (node.name == key.name or (unnamed and not node.name))
    ]
