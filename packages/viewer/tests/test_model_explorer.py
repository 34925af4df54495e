"""What Model Explorer is given: names that are one node's each, groups that are calls, numbers that add up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from hx_extractor import Hierarchy
from hx_sidecar_schema import Sidecar, node_name
from hx_viewer import Column, View, model_explorer_files

HOSTILE = ("<script>alert(1)</script>", "a\"b'c", "red\x1b[31m", "left\u202eright", "x" * 10_000, "a/b")


def check_references(files: dict[str, Any]) -> None:
    """Every id is one node's, and whatever names a node or graph names one that is there."""
    graphs = files["graph.json"]["graphs"]
    names = Counter(graph["id"] for graph in graphs)
    assert set(names.values()) == {1}
    ids: dict[str, set[str]] = {}
    everywhere = Counter(node["id"] for graph in graphs for node in graph["nodes"])
    assert set(everywhere.values()) == {1}
    for graph in graphs:
        found = ids[graph["id"]] = {node["id"] for node in graph["nodes"]}
        for node in graph["nodes"]:
            assert {edge["sourceNodeId"] for edge in node.get("incomingEdges", ())} <= found
            assert set(node.get("subgraphIds", ())) <= set(names)
    for name, content in files.items():
        if name not in ("graph.json", "mapping.json"):
            assert all(set(data["results"]) <= ids[graph] for graph, data in content.items()), name


def sum_below(files: dict[str, Any], name: str, namespace: str) -> float:
    """What Model Explorer shows as the sum of a group."""
    graph = files["graph.json"]["graphs"][0]
    inside = (f"{namespace}/", "") if namespace else ("", "")
    below = {
        node["id"]
        for node in graph["nodes"]
        if node["namespace"] == namespace or node["namespace"].startswith(inside[0])
    }
    results = files[name][graph["id"]]["results"]
    return sum(result["value"] for key, result in results.items() if key in below)


def test_nodes_are_grouped_by_their_owner(hierarchy: Hierarchy) -> None:
    view = View(hierarchy)
    files = model_explorer_files(view)
    check_references(files)
    main, then, otherwise, function = files["graph.json"]["graphs"]
    assert [graph["id"] for graph in (main, then, otherwise, function)] == ["main", *list(view.graphs)[1:]]
    nodes = {node["id"]: node for graph in (main, then, otherwise, function) for node in graph["nodes"]}
    for row in view.sidecar.nodes:
        assert nodes[node_name(*row.key)]["namespace"] == view.namespaces[row.owner]
    assert nodes["c"]["subgraphIds"] == ["c.then_branch", "c.else_branch"]
    assert nodes["b"]["subgraphIds"] == ["local::twice"]
    assert nodes["w"]["namespace"] == "", "the root and a block read it"
    assert [node["label"] for node in then["nodes"]] == ["Captured", "Neg", "t"]
    shapes = [item["attrs"][1]["value"] for item in nodes["a"]["inputsMetadata"]]
    assert shapes == ["FLOAT[batch,3]", "FLOAT[3]"]
    assert main["groupNodeAttributes"]["block: Block"]["inputs"] == "input FLOAT[batch,3]"
    assert "idle: Idle" not in main["groupNodeAttributes"]


def test_numbers_add_up_in_every_group(hierarchy: Hierarchy) -> None:
    own = {1: 4.0, 2: 5.0, 4: 3.0}
    total = {0: 12.0, 1: 9.0, 2: 5.0, 4: 3.0}
    view = View(hierarchy, [Column("time", "time, us", "us", nodes={0: 5.0}, own=own, total=total)])
    files = model_explorer_files(view)
    check_references(files)
    for row, number in total.items():
        assert sum_below(files, "time.json", view.namespaces[row]) == number
    assert files["graph.json"]["graphs"][0]["groupNodeAttributes"]["block: Block"]["time, us"] == "9, 4 its own"


def test_an_error_is_at_the_node_that_makes_the_output_of_the_innermost_call(hierarchy: Hierarchy) -> None:
    outputs = {0: "c", 1: "c", 3: "c", 2: "a", 4: "y"}
    calls = [
        call.model_copy(update={"outputs": [call.inputs[0].model_copy(update={"value": outputs[row]})]})
        if row in (0, 1)
        else call
        for row, call in enumerate(hierarchy.sidecar.calls)
    ]
    sidecar = hierarchy.sidecar.model_copy(update={"calls": calls})
    errors = Column(
        "error_local",
        "error",
        "",
        adds_up=False,
        of_outputs=True,
        total={0: 0.5, 1: float("inf")},
        remarks={1: "wrong"},
    )
    files = model_explorer_files(View(Hierarchy(hierarchy.path, sidecar), [errors]))
    assert files["error_local.json"]["main"]["results"] == {"c": {"value": "infinite", "bgColor": "#f28b82"}}
    text = files["graph.json"]["graphs"][0]["groupNodeAttributes"]
    assert (text[""]["error"], text["block: Block"]["error"]) == ("0.5", "inf (wrong)")
    errors = Column("error_local", "error", "", adds_up=False, of_outputs=True, total={0: 0.5, 1: 0.25})
    files = model_explorer_files(View(Hierarchy(hierarchy.path, sidecar), [errors]))
    assert files["error_local.json"]["main"]["results"] == {"c": {"value": 0.25}}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_name_holds_is_text(name: str, renamed: Callable[[str], Hierarchy]) -> None:
    view = View(renamed(name))
    files = model_explorer_files(view)
    check_references(files)
    assert len(set(view.namespaces)) == len(view.namespaces)
    assert view.namespaces[2].count("/") == 1, "a slash in a name parts no group"
    strings = [
        text
        for node in files["graph.json"]["graphs"][0]["nodes"]
        for text in (node["id"], node["label"], node["namespace"])
    ]
    assert all(text.isprintable() and len(text) < 500 for text in strings)
    assert not any(character in json.dumps(files, ensure_ascii=False) for character in "\x1b\u202e")


def test_two_graphs_are_mapped_and_every_id_is_in_one_entry(hierarchy: Hierarchy) -> None:
    made_of = {"a": ["p", "q"], "b": ["q"], "c": ["r"], "y": []}
    rows = [
        row.model_copy(update={"originals": made_of.get(row.output, []), "evidence": "lineage"})
        for row in hierarchy.sidecar.nodes
    ]
    view = View(Hierarchy(hierarchy.path, hierarchy.sidecar.model_copy(update={"nodes": rows})))
    files = model_explorer_files(view)
    check_references(files)
    entries = files["mapping.json"]["mappingEntries"]
    assert entries == [
        {"leftNodeIds": ["p", "q"], "rightNodeIds": ["a", "b"]},
        {"leftNodeIds": ["r"], "rightNodeIds": ["c"]},
    ]
    before = model_explorer_files(View(hierarchy))
    assert "mapping.json" not in before
    names = [{graph["id"] for graph in made["graph.json"]["graphs"]} for made in (before, files)]
    assert names[0].isdisjoint(names[1]), "in two panes the second of one name would show the first"


def test_confidence_says_what_is_not_known(hierarchy: Hierarchy) -> None:
    first, *others = hierarchy.sidecar.nodes
    rows = [first.model_copy(update={"known": False, "confidence": "low"}), *others]
    sidecar: Sidecar = hierarchy.sidecar.model_copy(update={"nodes": rows})
    results = model_explorer_files(View(Hierarchy(hierarchy.path, sidecar)))["confidence.json"]["main"]["results"]
    assert {name: result["value"] for name, result in results.items()} == {
        "a": "unknown",
        "b": "high",
        "c": "high",
        "y": "high",
    }
