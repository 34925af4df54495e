"""`hx validate`: what is sound has no finding, what can be computed is repaired, the rest is left."""

from __future__ import annotations

import json
import os
import shutil

import onnx
import pytest


def rows_of(path):
    return json.loads(path.with_name(f"{path.stem}_hierarchy.json").read_bytes())


def write(path, rows):
    path.with_name(f"{path.stem}_hierarchy.json").write_text(json.dumps(rows))


def row_of(rows, op_type):
    return next(row for row in rows["nodes"] if row["op_type"] == op_type)


@pytest.mark.parametrize("model", ["bert_once", "vit_once", "whisper_once", "perceptron_once"])
def test_an_export_has_no_findings(hx, request, model):
    path = request.getfixturevalue(model)
    result = hx("validate", path)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Valid: {path}, ")
    record = json.loads(hx("validate", path, "--json").out)
    assert (record["valid"], record["findings"], record["skipped"]) == (True, [], {})
    assert (record["nodes"], record["repaired"], record["written"]) == (len(rows_of(path)["nodes"]), [], None)


def test_the_only_export_of_the_folder_is_meant(hx, bert_once):
    assert hx("validate", cwd=bert_once.parent).code == 0


def test_parts_and_what_was_made_elsewhere_have_no_findings(hx, bert_once, tmp_path):
    folder = tmp_path / "parts"
    assert hx("extract", bert_once, "--all", "--no-verify", "--weights", "none", "-o", folder).code == 0
    parts = sorted(folder.glob("*.onnx"))
    shutil.copy(bert_once, tmp_path / "elsewhere.onnx")
    assert hx("project", tmp_path / "elsewhere.onnx").code == 0
    assert len(parts) > 30
    for path in (*parts, tmp_path / "elsewhere.onnx"):
        result = hx("validate", path)
        assert (result.code, result.err) == (0, ""), (path.name, result.out)


def test_a_model_without_child_modules(hx, tmp_path):
    (tmp_path / "alone.py").write_text(
        "import torch\nclass Alone(torch.nn.Module):\n    def forward(self, x):\n        return x.relu() + 1\n"
        "def make():\n    return Alone(), {'x': torch.ones(2, 3)}\n"
    )
    assert hx("export", "alone.py:make", "-o", "alone.onnx", "--no-verify", cwd=tmp_path).code == 0
    result = hx("validate", "alone.onnx")
    assert (result.code, result.out) == (0, "Valid: alone.onnx, 2 nodes, 1 call, 1 module.\n")


def test_a_renamed_model_is_found_and_repaired(hx, perceptron):
    for path in (perceptron, perceptron.with_name("model_hierarchy.json")):
        path.rename(path.with_name(path.name.replace("model", "other")))
    path = perceptron.with_name("other.onnx")
    result = hx("validate", path)
    assert result.code == 1
    assert "V04" in result.out
    assert hx("validate", path, "--repair").code == 0
    assert rows_of(path)["model"]["file"] == "other.onnx"


@pytest.fixture
def broken(bert):
    """An export whose order, names, file, tags, consumers and numbers were changed, and nothing else."""
    before = bert.with_name("model_hierarchy.json").read_bytes()
    rows = rows_of(bert)
    rows["nodes"].insert(3, rows["nodes"].pop(10))
    row_of(rows, "Gelu")["name"] = "other"
    row_of(rows, "Softmax")["consumers"] = [2]
    rows["model"]["ir_version"] = 3
    rows["modules"][2]["tag"] = rows["modules"][3]["tag"]
    rows["summary"]["nodes"] = 7
    del rows["summary"]["category_statistics"]["activation"]
    write(bert, rows)
    return bert, before


def test_what_can_be_computed_is_as_it_was_after_repair(hx, broken):
    path, before = broken
    assert {"V04", "V14", "V15", "V40", "V51", "V52", "V60"} == set(
        json.loads(hx("validate", path, "--json").out)["counts"]
    )
    result = hx("validate", path, "--repair", "--json")
    assert result.code == 0
    record = json.loads(result.out)
    assert {change["code"] for change in record["repaired"]} == {"V04", "V14", "V15", "V40", "V52", "V60"}
    assert record["written"] == "model_hierarchy.json"
    assert (record["findings"], record["refused"]) == ([], {})
    assert path.with_name("model_hierarchy.json").read_bytes() == before
    assert not list(path.parent.glob(".hx-writing-*"))


def test_repair_says_what_it_changed(hx, bert):
    rows = rows_of(bert)
    row = row_of(rows, "Softmax")
    row["consumers"] = [2]
    write(bert, rows)
    result = hx("validate", bert, "--repair")
    assert result.code == 0
    assert f"{row['output']}  'embeddings.word_embeddings' is now nobody." in result.out
    assert "Valid: " in result.out


def test_repair_leaves_what_rests_on_something_wrong(hx, bert):
    """A wrong owner shows in the consumers; to rewrite those would hide it."""
    rows = rows_of(bert)
    row_of(rows, "Gelu")["owner"] = 0
    row_of(rows, "Softmax")["owner"] = 2
    write(bert, rows)
    before = bert.with_name("model_hierarchy.json").read_bytes()
    result = hx("validate", bert, "--repair", "--json")
    assert result.code == 1
    record = json.loads(result.out)
    assert record["refused"] == {"V40": "V41 comes first."}
    assert (record["repaired"], record["written"]) == ([], None)
    assert bert.with_name("model_hierarchy.json").read_bytes() == before


def test_the_sidecar_of_another_model_is_never_repaired(hx, bert):
    proto = onnx.load(bert)
    next(node for node in proto.graph.node if node.op_type == "Gelu").op_type = "Relu"
    onnx.save(proto, bert)
    before = bert.with_name("model_hierarchy.json").read_bytes()
    result = hx("validate", bert, "--repair")
    assert result.code == 1
    assert "V14 is left as it is: V03 comes first." in result.out
    assert bert.with_name("model_hierarchy.json").read_bytes() == before


def test_a_reference_that_leads_nowhere_stops_only_what_rests_on_it(hx, bert):
    rows = rows_of(bert)
    row_of(rows, "Gelu")["owner"] = 9999
    rows["summary"]["nodes"] = 7
    write(bert, rows)
    record = json.loads(hx("validate", bert, "--json").out)
    assert set(record["counts"]) == {"V10", "V60"}
    assert record["skipped"]["consumers"] == "V10 comes first."


def test_repair_of_a_folder_that_takes_no_files_fails_before_it_reads(hx, bert, monkeypatch):
    monkeypatch.setattr("os.access", lambda _, mode: mode == os.R_OK)
    assert "HX306" in hx("validate", bert, "--repair").error


@pytest.fixture(scope="module")
def embedded_once(export_once, factories):
    return export_once(f"{factories}:perceptron", "--embed", "--no-verify")


def test_the_sidecar_inside_the_model_is_read_and_repaired_beside_it(hx, embedded_once, tmp_path):
    path = tmp_path / "moved.onnx"
    shutil.copy(embedded_once, path)
    record = json.loads(hx("validate", path, "--json").out)
    assert (record["sidecar"], record["counts"]) == ("", {"V04": 1})
    record = json.loads(hx("validate", path, "--repair", "--json").out)
    assert (record["valid"], record["written"]) == (True, "moved_hierarchy.json")


def test_two_sidecars_that_differ(hx, embedded_once, tmp_path):
    shutil.copytree(embedded_once.parent, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model.onnx"
    assert hx("validate", path).code == 0
    rows = rows_of(path)
    rows["nodes"][0]["evidence"] = "witness"
    write(path, rows)
    (finding,) = json.loads(hx("validate", path, "--json").out)["findings"]
    assert (finding["code"], finding["message"]) == ("V05", "They differ in 'nodes'.")


def test_a_sidecar_elsewhere_may_be_named(hx, perceptron, tmp_path):
    sidecar = perceptron.with_name("model_hierarchy.json").rename(tmp_path / "kept.json")
    assert hx("validate", perceptron, "--sidecar", sidecar).code == 0


def test_without_a_sidecar_there_is_nothing_to_check(hx, perceptron):
    perceptron.with_name("model_hierarchy.json").unlink()
    assert "HX301" in hx("validate", perceptron).error


def test_without_its_model_a_sidecar_cannot_be_checked(hx, perceptron):
    perceptron.unlink()
    assert "HX202" in hx("validate", perceptron).error


def test_a_sidecar_that_is_cut_short_is_an_error(hx, perceptron):
    sidecar = perceptron.with_name("model_hierarchy.json")
    sidecar.write_bytes(sidecar.read_bytes()[:100])
    assert "HX302" in hx("validate", perceptron).error


def test_a_pipe_gets_a_line_a_row_whole(hx, bert):
    rows = rows_of(bert)
    for row in rows["nodes"]:
        row["name"] = "x" * 300
    write(bert, rows)
    lines = hx("validate", bert).out.splitlines()
    shown = [line for line in lines if "The row calls the node" in line]
    assert len(shown) == 5
    assert all("x" * 300 in line and line == line.rstrip() for line in shown)
    assert f"and {len(rows['nodes']) - 5} more; -v lists them all" in lines[6]
    every = hx("validate", bert, "-v").out.splitlines()
    assert sum("The row calls the node" in line for line in every) == len(rows["nodes"])
