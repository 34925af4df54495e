"""Which node of the executed graph a kernel ran, and inside which other kernel."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from hx_graph import body_path, nested_graphs, output_of
from hx_profiler._trace import Event, Key, Trace


@dataclass(frozen=True)
class ExecutedNode:
    """A node of the main graph or of a body; a sidecar knows it by `graph` and `output`."""

    graph: str
    output: str
    name: str
    """May be empty, or that of other nodes too."""
    op_type: str
    container: int | None
    """Position of the node whose body it is in; None in the main graph."""
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
    names = (key.name, "") if key.name == f"{key.op_type}_{key.node_index}" else (key.name,)
    alike = (position for position, node in enumerate(nodes) if node.op_type == key.op_type and node.name in names)
    return [position for position in alike if position not in taken]


def containers(
    events: Sequence[Event], nodes: Sequence[ExecutedNode], matched: Mapping[Key, Sequence[int]]
) -> list[int | None]:
    """Return for each event the position of the event that it ran inside; None where it ran inside none.

    The graph says which control-flow node a kernel is in; of several executions of that node, it is in the last one that
    had begun. Where the kernel's node is not known, it is in any control-flow node that was running. Events are in order of
    their start; `matched` is what `match` returns.
    """
    control = [position for position, node in enumerate(nodes) if node.has_bodies]
    around: list[int | None] = [None] * len(events)
    if not control:
        return around
    runs: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, event in enumerate(events):
        for position in matched[event.key]:
            if nodes[position].has_bodies:
                runs[event.run, position].append(index)
    for index, event in enumerate(events):
        positions = matched[event.key]
        candidates = {c for p in positions if (c := nodes[p].container) is not None} if positions else set(control)
        for position in candidates:
            found = runs[event.run, position]
            last = bisect_right(found, event.start_us, key=lambda other: events[other].start_us) - 1
            while last >= 0 and found[last] == index:
                last -= 1
            if last < 0:
                continue
            outer = found[last]
            # Both ends are cut to whole microseconds.
            inside = event.start_us + event.duration_us <= events[outer].start_us + events[outer].duration_us + 1
            if inside and (around[index] is None or events[outer].start_us >= events[around[index] or 0].start_us):
                around[index] = outer
    return around


def self_times(events: Sequence[Event], around: Sequence[int | None]) -> list[int]:
    """Return the duration of each event without those directly inside it, in microseconds.

    The sum is that of the events which ran inside none.
    """
    own = [event.duration_us for event in events]
    for index, outer in enumerate(around):
        if outer is not None:
            own[outer] -= events[index].duration_us
    return own
