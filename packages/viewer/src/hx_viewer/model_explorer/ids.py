"""What each graph and each node of it is called in Model Explorer's files."""

from __future__ import annotations

from dataclasses import dataclass, field

from hx_sidecar_schema import node_name, visible
from hx_viewer._graphs import GraphView
from hx_viewer._view import View


@dataclass
class GraphIds:
    """The names of one graph's nodes; no two are equal in all graphs."""

    graph: str
    """Of the graph itself."""
    nodes: dict[int, str] = field(default_factory=dict[int, str])
    """By row of the sidecar: the first output, in a body or function behind the graph's path as `node_name` has it."""
    ends: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """Of what stands for a value that no node of the graph makes, by the value's graph and name: inputs, weights, captured values."""
    outputs: list[str] = field(default_factory=list[str])
    """Of what stands for the graph's outputs, in order."""
    elsewhere: dict[int, str] = field(default_factory=dict[int, str])
    """Of what stands for numbers of a call that are of no node, by the call's row; in the main graph."""


def ids_of(view: View) -> dict[str, GraphIds]:
    """Return the names by the path of the graph.

    Model Explorer 0.1.34 knows graphs by their names alone: in two panes the second of one name would show the first. So those of a relinked
    model, whose graphs are called as those that it was made of, say of which file they are.
    """
    of = f" of {view.sidecar.model.file}" if view.sidecar.is_relinked else ""
    found: dict[str, GraphIds] = {}
    graphs: set[str] = set()
    nodes: set[str] = set()
    for path, graph in view.graphs.items():
        name = visible((path or graph.name or "main") + of)
        found[path] = _graph_ids(view, graph, _unique(name, graphs), nodes)
    return found


def _graph_ids(view: View, graph: GraphView, name: str, taken: set[str]) -> GraphIds:
    ids = GraphIds(name)

    def named(text: str) -> str:
        return _unique(visible(node_name(graph.path, text)), taken)

    for node in graph.nodes:  # first: a mapping of two graphs names them by their outputs alone
        ids.nodes[node.row] = named(view.sidecar.nodes[node.row].output)
    ends = [(graph.path, value) for value in (*graph.inputs, *graph.weights)]
    reads = (read for node in graph.nodes for read in (*node.reads, *node.captures) if read is not None)
    ends += [(read.graph, read.value) for read in (*reads, *graph.outputs) if read.node not in ids.nodes]
    for end in dict.fromkeys(ends):
        ids.ends[end] = named(end[1])
    ids.outputs = [named(f"[output] {read.value}") for read in graph.outputs]
    if not graph.path:
        rows = {row for column in view.columns if column.adds_up for row in column.elsewhere(view.sidecar)}
        ids.elsewhere = {row: named(f"[elsewhere] {row}") for row in sorted(rows)}
    return ids


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 2, name
    while unique in taken:
        number, unique = number + 1, f"{name} #{number}"
    taken.add(unique)
    return unique
