"""What the record for viewers holds."""

from __future__ import annotations

import pytest

from hx_extractor import Hierarchy
from hx_viewer import Column, Read, ValueType, View


def test_graphs_are_the_main_graph_bodies_and_functions(hierarchy: Hierarchy) -> None:
    graphs = View(hierarchy).graphs
    assert list(graphs) == ["", "c.then_branch", "c.else_branch", "local::twice"]
    assert [view.name for view in graphs.values()] == ["main", "then", "else", "twice"]
    rows = hierarchy.sidecar.nodes
    for path, graph in graphs.items():
        assert [rows[node.row].key for node in graph.nodes] == [row.key for row in rows if row.graph == path]


def test_edges_lead_to_the_node_that_makes_a_value_in_whichever_graph(hierarchy: Hierarchy) -> None:
    view = View(hierarchy)
    row = {node.output: row for row, node in enumerate(hierarchy.sidecar.nodes)}
    main, then = view.graphs[""], view.graphs["c.then_branch"]
    add, call, branch, last = main.nodes
    assert add.reads == [Read("x", "", None, 0), Read("w", "", None, 0)]
    assert call.reads == [Read("a", "", row["a"], 0)]
    assert last.reads == [Read("c", "", row["c"], 0), Read("w", "", None, 0)]
    assert then.nodes[0].reads == [Read("b", "", row["b"], 0)], "captured"
    assert main.outputs == [Read("y", "", row["y"], 0)]
    assert branch.captures == [Read("b", "", row["b"], 0)], "what its branches read"
    assert (call.graphs, branch.graphs) == (["local::twice"], ["c.then_branch", "c.else_branch"])


def test_types_and_attributes_are_those_of_the_file(hierarchy: Hierarchy) -> None:
    graphs = View(hierarchy).graphs
    main = graphs[""]
    assert main.types["x"] == ValueType("FLOAT", ["batch", 3])
    assert main.types["w"] == ValueType("FLOAT", [3])
    assert main.types["b"] == ValueType("FLOAT", ["batch", 3]), "inferred: the file does not say"
    assert main.weights == ["w"]
    assert graphs["c.else_branch"].nodes[0].attributes == {"value": "[0.0, 0.0, 0.0]"}


def test_types_of_a_large_graph_are_those_of_its_file_alone(
    hierarchy: Hierarchy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hx_viewer._view.INFERRED_NODES", 7)
    assert View(hierarchy).graphs[""].types["b"] == ValueType("UNDEFINED", None)


def test_a_call_has_a_path_of_calls(hierarchy: Hierarchy) -> None:
    assert View(hierarchy).namespaces == [
        "",
        "block: Block",
        "block: Block/add: Add",
        "block: Block/cond: Cond",
        "block.add@1: Add",  # the root called it, past the module that holds it
        "idle: Idle",
    ]


def test_what_no_node_has_is_elsewhere(hierarchy: Hierarchy) -> None:
    time = Column("time", "time, us", "us", nodes={0: 5.0, 3: 2.0}, own={2: 5.0, 1: 4.0, 4: 3.0}, total={})
    view = View(hierarchy, [time])
    owners = [node.owner for node in view.sidecar.nodes]
    assert (owners[0], owners[3]) == (2, 3), "rows of the test"
    assert time.elsewhere(view.sidecar) == {1: 4.0, 4: 3.0}
    assert view.column("time") is time
    assert view.column("error") is None
