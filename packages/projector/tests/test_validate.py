"""Checks of a sidecar against its graph: bodies, functions, words of nodes, and rows that say anything at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
from hypothesis import given, settings, strategies as st

from hx_graph import all_nodes
from hx_projector import MEANINGS, Finding, project_file, repair, validate
from hx_sidecar_schema import HxError, ModuleCall, Node, Sidecar

TEXT = """
<ir_version: 10, opset_import: ["": 20, "local": 1]>
main (float[2,3] x, bool c) => (float[2,3] y)
<float[3] "enc.w" = {1.0, 2.0, 3.0}, float[3] "dec.w" = {1.0, 2.0, 3.0}>
{
  h = Mul(x, "enc.w")
  n = local.flip(h)
  k = If (c) <
    then_branch = g1 () => (float[2,3] t) { t = Relu(n) },
    else_branch = g2 () => (float[2,3] e) { e = Neg(n) }
  >
  shape = Constant <value_ints = [3, 2]> ()
  v = Reshape(k, shape)
  flat = Constant <value_ints = [2, 3]> ()
  u = Reshape(v, flat)
  y = Mul(u, "dec.w")
}
<domain: "local", opset_import: ["": 20]>
flip (a) => (r) { s = Neg(a)  r = Exp(s) }
"""
STACKS = {"h": "enc", "n": "enc", "k": "enc", "shape": "enc", "v": "enc", "flat": "dec", "u": "dec", "y": "dec"}


def stacked(model: ir.Model, stacks: dict[str, str]) -> ir.Model:
    """Write module stacks as torch does."""
    for node in model.graph:
        fqn = stacks.get(str(node.outputs[0].name))
        if fqn is not None:
            scopes, classes = ["", "op"], ["pkg.Net", "aten.op"]
            if fqn:
                scopes.insert(1, fqn)
                classes.insert(1, f"pkg.{fqn.title()}")
            node.metadata_props["pkg.torch.onnx.name_scopes"] = str(scopes)
            node.metadata_props["pkg.torch.onnx.class_hierarchy"] = str(classes)
    return model


class Export:
    """A model with its file and sidecar."""

    def __init__(self, folder: Path, text: str = TEXT, stacks: dict[str, str] = STACKS) -> None:
        self.model = stacked(ir.from_onnx_text(text), stacks)
        self.path = folder / "m.onnx"
        ir.save(self.model, self.path)
        self.sidecar = project_file(self.model, file="m.onnx")

    def findings(self) -> list[Finding]:
        return validate(self.model, self.sidecar, self.path).findings

    def found(self) -> set[tuple[str, str]]:
        return {(finding.code, finding.subject) for finding in self.findings()}

    def with_nodes(self, change: Callable[[Node], Node | None]) -> Export:
        nodes = [new for node in self.sidecar.nodes if (new := change(node)) is not None]
        self.sidecar = self.sidecar.model_copy(update={"nodes": nodes})
        return self

    def call(self, fqn: str) -> int:
        return next(row for row, call in enumerate(self.sidecar.calls) if self.sidecar.module_of(call).fqn == fqn)


@pytest.fixture
def export(tmp_path: Path) -> Export:
    return Export(tmp_path)


def test_the_sidecar_may_be_read_once_onnx_runtime_has_let_go_of_the_model(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("hx_projector.validation.checks.file.return_freed_memory", lambda: done.append("released"))
    broken = export.with_nodes(lambda node: node.model_copy(update={"consumers": [0]})).sidecar

    def read() -> Sidecar:
        done.append("read")
        return broken

    assert validate(export.model, read, export.path) == validate(export.model, broken, export.path)
    assert done == ["released", "read", "released"]


def test_bodies_and_functions_are_covered(export: Export) -> None:
    assert export.findings() == []
    graphs = {node.graph for node in export.sidecar.nodes}
    assert graphs == {"", "k.then_branch", "k.else_branch", "local::flip"}


@pytest.mark.parametrize("name", ["k.then_branch:t", "local::flip:s"])
def test_a_nested_node_without_a_row_is_named(export: Export, name: str) -> None:
    export.with_nodes(lambda node: None if f"{node.graph}:{node.output}" == name else node)
    assert ("V11", name) in export.found()


def unknown(node: Node) -> Node:
    return node.model_copy(update={"owner": 0, "evidence": "dataflow", "confidence": "low", "known": False})


def test_a_node_in_a_body_of_a_known_node_is_known(export: Export) -> None:
    export.with_nodes(lambda node: unknown(node) if node.output == "t" else node)
    assert ("V42", "k.then_branch:t") in export.found()


def test_what_only_the_root_may_have_made_is_known(tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (float[2,3] y)
    <float[3] "a.w" = {1.0, 2.0, 3.0}, float[3] "b.w" = {1.0, 2.0, 3.0}>
    {
      m = Exp(x)
      h = Mul(m, "a.w")
      r = Add(h, x)
      y = Mul(r, "b.w")
    }
    """
    export = Export(tmp_path, text, {})
    owners = {node.output: (node.owner, node.evidence, node.confidence) for node in export.sidecar.nodes}
    assert owners["m"] == owners["r"] == (0, "dataflow", "low")
    assert export.findings() == []
    export.with_nodes(lambda node: unknown(node) if node.output == "h" else node)
    assert ("V42", "h") in export.found()


def test_mathematics_of_which_nothing_is_known(tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (float[2,3] y, float[2,3] z)
    <float[3] "a.w" = {1.0, 2.0, 3.0}>
    { y = Mul(x, "a.w")  g = Exp(x)  z = Neg(g) }
    """
    export = Export(tmp_path, text, {})
    assert export.found() == {("V42", "g"), ("V42", "z")}


def test_a_view_may_name_the_module_that_reads_it(export: Export) -> None:
    """torch makes a view of a changed tensor anew where somebody reads it."""
    enc, dec = export.call("enc"), export.call("dec")
    export.with_nodes(lambda node: node.model_copy(update={"owner": enc}) if node.output == "u" else node)
    assert {code for code, _ in export.found()} == {"V40"}
    export.with_nodes(lambda node: node.model_copy(update={"owner": dec}) if node.output == "h" else node)
    assert ("V41", "h") in export.found()


def test_a_second_call_may_be_named_like_another_module(tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (float[2,3] y)
    <float[3] "lin.w" = {1.0, 2.0, 3.0}, float[3] "lin_1.w" = {1.0, 2.0, 3.0}>
    { a = Mul(x, "lin.w")  b = Mul(a, "lin.w")  y = Mul(b, "lin_1.w") }
    """
    model = ir.from_onnx_text(text)
    for node, name in zip(model.graph, ("/lin/Mul", "/lin_1/Mul", "/lin_1/Mul_1"), strict=True):
        node.name = name
    export = Export(tmp_path, text, {})
    export.model = model
    calls = list(export.sidecar.calls)
    at = export.call("lin")
    calls.insert(at + 1, calls[at].model_copy(update={"index": 1}))
    owners = {"a": at, "b": at + 1, "y": at + 2}
    export.sidecar = export.sidecar.model_copy(update={"calls": calls})
    export.with_nodes(
        lambda node: node.model_copy(
            update={
                "owner": owners[node.output],
                "name": str(next(n.name for n in model.graph if n.outputs[0].name == node.output)),
            }
        )
    )
    assert "V41" not in {code for code, _ in export.found()}
    owners["y"] = at
    export.with_nodes(lambda node: node.model_copy(update={"owner": owners[node.output]}))
    assert ("V41", "y") in export.found()


def test_what_could_not_be_checked_is_said(export: Export) -> None:
    export.with_nodes(lambda node: node.model_copy(update={"owner": 99}) if node.output == "h" else node)
    result = validate(export.model, export.sidecar, export.path)
    assert [(found.code, found.subject) for found in result.findings] == [("V10", "h")]
    assert result.skipped["consumers"] == "V10 comes first."


# Whatever rows say, every check either runs or is skipped


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values in a JSON document."""
    if isinstance(data, dict):
        return [place for key, value in data.items() for place in _places(value, (*path, key))]
    if isinstance(data, list):
        inner = [place for index, value in enumerate(data) for place in _places(value, (*path, index))]
        return [path, *inner] if path else inner
    return [path]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Export, dict[str, Any]]:
    export = Export(tmp_path_factory.mktemp("base"))
    return export, json.loads(export.sidecar.model_dump_json())


NUMBERS = st.integers(-2, 12)
WORDS = st.sampled_from(["", "x", "h", "enc", "dec", "lineage", "dataflow", "low", "high", "not_called", "?"])


def like(value: Any) -> st.SearchStrategy[Any]:
    """Values of the kind of another one, most of them wrong."""
    if isinstance(value, bool):
        return st.just(not value)
    if isinstance(value, list):
        return st.sampled_from([[], [*value, *value], value[::-1]])
    return WORDS if isinstance(value, str) else NUMBERS if value is not None else st.one_of(NUMBERS, WORDS)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_nothing_that_rows_say_stops_the_checks(base: tuple[Export, dict[str, Any]], data: st.DataObject) -> None:
    export, rows = base
    rows = json.loads(json.dumps(rows))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(_places(rows)))
        holder = rows
        for key in way:
            holder = holder[key]
        if isinstance(holder, list) and data.draw(st.booleans()):
            holder.pop(last)
        else:
            holder[last] = data.draw(like(holder[last]))
    try:
        sidecar = Sidecar.from_json(json.dumps(rows).encode(), Path("m.json"))
    except HxError:
        return  # no sidecar at all: HX304
    result = validate(export.model, sidecar, export.path)
    assert {finding.code for finding in result.findings} <= MEANINGS.keys()
    if result.findings:
        done = repair(export.model, sidecar, export.path, result.findings)
        after = validate(export.model, done.sidecar, export.path)
        fixed = {change.code for change in done.changes} - {"V04"}  # an example of another shape stays
        assert not fixed & {finding.code for finding in after.findings}


def test_no_dimensions_are_a_rank_that_was_not_known(export: Export) -> None:
    def reshaped(shape: list[int]) -> list[ModuleCall]:
        calls = export.sidecar.calls
        ports = [port.model_copy(update={"shape": shape}) for port in calls[export.call("dec")].outputs]
        row = export.call("dec")
        return [*calls[:row], calls[row].model_copy(update={"outputs": ports}), *calls[row + 1 :]]

    before = export.sidecar
    for shape, codes in (([], set[str]()), ([3], {"V32"})):
        export.sidecar = before.model_copy(update={"calls": reshaped(shape)})
        assert {finding.code for finding in export.findings()} == codes


def test_a_model_that_is_not_well_formed_has_findings(export: Export) -> None:
    (weight,) = (value for name, value in export.model.graph.initializers.items() if name == "dec.w")
    del export.model.graph.initializers["dec.w"]
    assert weight.uses()
    result = validate(export.model, export.sidecar, export.path)
    assert result.findings
    assert "dec.w" in result.skipped["borders"]


def test_a_graph_of_very_many_nodes_is_not_given_to_onnx_runtime(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = len(list(all_nodes(export.model)))
    for limit in (nodes, nodes - 1):
        monkeypatch.setattr("hx_projector.validation.checks.file.RUNTIME_NODES", limit)
        result = validate(export.model, export.sidecar, export.path)
        assert result.findings == []
        assert ("ONNX Runtime" in result.skipped) == (limit < nodes)
