"""What a page holds, and that nothing that a name contains can be more than text there."""

from __future__ import annotations

import json
import math
import re
import subprocess
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from hx_extractor import Hierarchy
from hx_sidecar_schema import Provenance, find_calls, visible
from hx_viewer import Column, View, html_page
from hx_viewer.page.page import extract_command, page_data

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "a\"b'c\\d",
    "$(touch gone)`x`",
    "red\x1b[31m",
    "left\u202eright",
    "x" * 10_000,
    "-o",
)


class Parts(HTMLParser):
    """Elements of a page with their attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            tag, attrs, text = self.found[-1]
            self.found[-1] = (tag, attrs, text + data)

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attrs, text) for found, attrs, text in self.found if found == tag]


def test_a_page_holds_calls_with_ports_readers_and_numbers(hierarchy: Hierarchy) -> None:
    time = Column("time", "time, us", "us", nodes={0: 5.0}, own={2: 5.0, 1: 0.5}, total={0: 5.5, 1: 5.5, 2: 5.0})
    error = Column("error", "error", "", adds_up=False, of_outputs=True, total={1: math.inf}, remarks={1: "wrong"})
    data = page_data(View(hierarchy, [time, error]))
    calls = {call["tag"]: call for call in data["calls"]}
    assert [call["name"] for call in data["calls"]] == [
        "Net",
        "block: Block",
        "add: Add",
        "cond: Cond",
        "block.add@1: Add",
        "idle: Idle",
    ]
    assert [call["parent"] for call in data["calls"]] == [None, 0, 1, 1, 0, 0]
    assert data["calls"][1]["inputs"] == [["input", "FLOAT[batch,3]", "x", ""]]
    assert data["calls"][4]["command"] == "hx extract model.onnx --module block.add@1"
    assert data["calls"][5]["command"] == "", "it never ran"
    assert len(calls) == 6
    assert data["facts"] == ["8 nodes", "5 calls", "torch.onnx.export(dynamo=True)", "0 % known exactly", "0 % covered"]
    unnamed = hierarchy.sidecar.model_copy(update={"generator": Provenance(exporter="")})
    assert len(page_data(View(Hierarchy(hierarchy.path, unnamed)))["facts"]) == 4
    columns = {column["name"]: column for column in data["columns"]}
    assert columns["nodes"]["total"] == [8, 7, 1, 4, 1, None]
    assert columns["nodes"]["own"] == [None, 2, 1, 4, 1, None]
    assert columns["exact"]["total"] == [100, 100, 100, 100, 100, None]
    assert columns["time"]["title"] == "time"
    assert columns["time"]["nodes"] == {"0": 5}
    assert columns["error"]["total"] == [None, "Infinity", None, None, None, None]
    assert columns["error"]["remarks"] == {"1": "wrong"}


def test_what_was_before_stands_beside_it(hierarchy: Hierarchy) -> None:
    time = Column("time", "time, us", "us", own={2: 5.0}, total={0: 5.0, 1: 5.0, 2: 5.0})
    other = Column("time", "time, us", "us", own={2: 8.0}, total={0: 9.0, 2: 8.0}, notes=("It was warm.",))
    data = page_data(View(hierarchy, [time], View(hierarchy, [other])))
    columns = {column["name"]: column for column in data["columns"]}
    assert columns["time"]["other"] == [9, None, 8, None, None, None]
    assert columns["nodes"]["other"] == columns["nodes"]["total"]
    assert (data["against"], data["notes"]) == ("other records of it", ["model.onnx: It was warm."])
    alone = page_data(View(hierarchy, [time]))
    assert alone["against"] is None
    assert all(column["other"] is None for column in alone["columns"])


@pytest.mark.parametrize(
    ("file", "this", "other"),
    [("few.onnx", "model.onnx", "few.onnx"), ("model.onnx", "this model.onnx", "the other model.onnx")],
)
def test_calls_without_a_counterpart_are_told(hierarchy: Hierarchy, file: str, this: str, other: str) -> None:
    sidecar = hierarchy.sidecar
    calls = [call for call in sidecar.calls if not call.index]
    fewer = sidecar.model_copy(
        update={"calls": calls, "nodes": [], "model": sidecar.model.model_copy(update={"file": file})}
    )
    against = View(Hierarchy(hierarchy.path, fewer), [Column("macs", "MACs", "", total={0: 1.0})])
    data = page_data(View(hierarchy, [], against))
    assert data["against"] == file
    assert data["notes"] == [
        f"Calls in {this} alone: block.add@1.",
        f"MACs of {other} is not shown: this model has no such record.",
    ]


def test_a_node_says_what_it_reads_and_makes_and_in_which_graph(hierarchy: Hierarchy) -> None:
    data = page_data(View(hierarchy))
    assert data["graphs"] == ["", "c.then_branch", "c.else_branch", "local::twice"]
    nodes = {node["outputs"][0]: node for node in data["nodes"]}
    assert (nodes["a"]["reads"], nodes["a"]["call"], nodes["a"]["known"]) == (["x", "w"], 2, "exporter, high")
    assert nodes["t"]["reads"] == [[0, "b"]], "captured from the main graph"
    assert (nodes["c"]["reads"], nodes["c"]["captured"]) == (["yes", "b"], 1), "with what its branches capture"
    assert nodes["a"]["captured"] == 0
    assert (nodes["c"]["graphs"], nodes["b"]["op"]) == ([1, 2], "local::twice")
    assert data["types"][0]["w"] == "FLOAT[3]"
    assert data["inputs"] == [["x", "yes"], [], [], ["p"]]
    assert data["outputs"] == [["y"], ["t"], ["e"], ["q"]]


def test_readers_are_those_outside_a_call(hierarchy: Hierarchy) -> None:
    read = {"a": [1], "b": [3], "c": [4]}
    rows = [row.model_copy(update={"consumers": read.get(row.output, [])}) for row in hierarchy.sidecar.nodes]
    sidecar = hierarchy.sidecar.model_copy(update={"nodes": rows})
    data = page_data(View(Hierarchy(hierarchy.path, sidecar)))
    assert [call["readers"] for call in data["calls"]] == [[], [4], [1], [4], [], []]


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_name_holds_is_data(name: str, renamed: Callable[[str], Hierarchy]) -> None:
    view = View(renamed(name))
    text = html_page(view)
    parts = Parts(text)
    (held, data), (_, layout), (_, script) = parts.of("script")
    assert held == {"id": "data", "type": "application/json"}
    assert json.loads(data) == json.loads(json.dumps(page_data(view)))
    assert "alert" not in script
    assert text.isascii() or not any(character in text for character in "\x1b\u202e")
    ((_, style),) = parts.of("style")
    policy = next(attrs["content"] for attrs, _ in parts.of("meta") if "http-equiv" in attrs)
    assert policy is not None
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none';")
    hashes = [f"'sha256-{b64encode(sha256(inside.encode()).digest()).decode()}'" for inside in (style, layout, script)]
    assert f"style-src {hashes[0]}; script-src {hashes[1]} {hashes[2]};" in policy
    call = page_data(view)["calls"][2]
    assert call["fqn"] == visible(f"block.{name}")


def test_what_others_made_is_in_the_page_with_its_licence(hierarchy: Hierarchy) -> None:
    _, (_, layout), _ = Parts(html_page(View(hierarchy))).of("script")
    assert "Permission is hereby granted" in layout[:1100]
    assert "var dagre=" in layout
    assert "sourceMappingURL" not in layout, "a browser would ask for it"


def test_no_script_of_the_page_makes_markup_or_code_of_text(hierarchy: Hierarchy) -> None:
    _, (_, layout), (_, script) = Parts(html_page(View(hierarchy))).of("script")
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser", script)
    assert not re.findall(r"\beval\(|\bFunction\(|\bfetch\(|XMLHttpRequest|import\(", layout + script)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_shell_reads_the_command_as_that_call(name: str, renamed: Callable[[str], Hierarchy]) -> None:
    sidecar = renamed(name).sidecar
    command = extract_command(sidecar, sidecar.calls[2], set())
    assert visible(command, None) == command
    done = subprocess.run(
        ["bash", "-c", f"for word in {command}; do printf '%s\\0' \"$word\"; done"],
        capture_output=True,
        text=True,
        check=True,
        env={"LC_ALL": "C.UTF-8"},
    )
    *start, pattern = done.stdout.split("\0")[:-1]
    assert start == ["hx", "extract", "model.onnx", "--module"]
    assert find_calls(sidecar, pattern) == [2]


def test_what_a_pattern_cannot_say_has_no_command(renamed: Callable[[str], Hierarchy]) -> None:
    sidecar = renamed("a@b").sidecar
    assert extract_command(sidecar, sidecar.calls[2], set()) == "", "an index stands behind the first @"


def test_a_module_whose_name_is_a_class_has_the_command_of_its_tag(hierarchy: Hierarchy) -> None:
    sidecar = hierarchy.sidecar
    assert extract_command(sidecar, sidecar.calls[1], {"Block"}) == "hx extract model.onnx --module block"
    assert extract_command(sidecar, sidecar.calls[1], {"block"}) == "hx extract model.onnx --module /Net/Block"


def test_a_large_model_is_shown_by_modules_alone(hierarchy: Hierarchy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hx_viewer.page.page.PAGE_NODES", 7)
    view = View(hierarchy, [Column.of_nodes(hierarchy.sidecar, "macs", "MACs", "", {0: 3.0})])
    data = page_data(view)
    assert data["notes"] == ["The model has 8 nodes: this page shows its modules only."]
    assert all(data[name] == [] for name in ("nodes", "graphs", "types", "inputs", "outputs"))
    assert data["columns"][-1]["total"][0] == 3
    assert data["columns"][-1]["nodes"] == {}
