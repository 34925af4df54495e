"""`hx analyze`."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import onnx
import pytest


@pytest.fixture
def analyzed(hx):
    """Analyze and return the record."""

    def call(path, *options, code=0):
        result = hx("analyze", path, "--json", *options)
        assert result.code == code, result.err
        return json.loads(result.out)

    return call


def own(record, fqn, key="macs"):
    (entry,) = [entry for entry in record["calls"] if entry["fqn"] == fqn]
    return entry["total"][key]


def test_a_linear_layer_costs_what_its_formula_says(analyzed, perceptron):
    record = analyzed(perceptron, "-m", "Perceptron")
    assert own(record, "first") == 3 * 4 * 8
    assert own(record, "second") == 3 * 8 * 2
    assert own(record, "") == 3 * (4 * 8 + 8 * 2)
    assert (own(record, "first", "parameters"), own(record, "first", "weight_bytes")) == (40, 160)
    assert own(record, "act", "activation_bytes") == 3 * 8 * 4
    assert record["cost"]["input_shapes"] == {"x": [3, 4]}


@pytest.mark.parametrize("export", ["bert_once", "vit_once", "whisper_once"])
def test_every_model_is_covered_and_counted(analyzed, export, request):
    path = request.getfixturevalue(export)
    sidecar = json.loads(path.with_name("model_hierarchy.json").read_text())
    record = analyzed(path)
    assert record["nodes"] == len(sidecar["nodes"])
    assert record["exact_percent"] == sidecar["summary"]["exact_percent"]
    statistics = sidecar["summary"]["category_statistics"]
    assert {c["name"]: (c["total"], c["covered"], c["exact"]) for c in record["categories"]} == {
        name: (row["total"], row["tagged"], row["exact"]) for name, row in statistics.items()
    }
    assert record["unique_tags"] == len(record["tags"])
    assert sum(row["nodes"] for row in record["tags"]) == record["nodes"]
    cost = record["cost"]
    assert (cost["unknown"], cost["once"], cost["total"]["unsized_values"]) == ([], 0, 0)
    assert own(record, "") == cost["total"]["macs"] > 1_000_000
    for parent, entry in enumerate(record["calls"]):
        below = [e["total"]["macs"] for e in record["calls"] if e["parent"] == parent]
        assert sum(below) <= entry["total"]["macs"]


def test_self_attention_of_bert_costs_what_its_formula_says(analyzed, bert):
    record = analyzed(bert, "-m", "encoder.layer.0.attention.self", "--input-shape", "input_ids=3,20")
    tokens, heads_by_width, projections = 3 * 20, 64, 3
    assert own(record, "encoder.layer.0.attention.self.query") == tokens * 64 * 64
    products = 2 * tokens * 20 * heads_by_width  # QK^T and PV
    assert own(record, "encoder.layer.0.attention.self") == projections * tokens * 64 * 64 + products


def test_category_and_module_choose_the_nodes_of_everything(analyzed, bert):
    record = analyzed(bert, "-m", "encoder.layer.*", "--category", "Activation", "--detailed")
    assert [row["name"] for row in record["categories"]] == ["activation"]
    assert {row["op_type"] for row in record["node_list"]} <= {"Softmax", "Gelu", "Tanh", "Erf"}
    assert all(row["fqn"].startswith("encoder.layer.") for row in record["node_list"])
    assert record["nodes"] == len(record["node_list"]) == sum(record["categories"][0]["operators"].values())
    assert record["cost"]["total"]["macs"] == 0
    assert record["cost"]["total"]["nodes"] == record["nodes"]


def test_modules_are_sorted_below_their_parent(analyzed, bert):
    record = analyzed(bert, "--sort", "macs", "--depth", "1")
    assert [entry["fqn"] for entry in record["calls"]] == ["", "encoder", "pooler", "embeddings"]
    record = analyzed(bert, "--sort", "params", "--depth", "1")
    assert [entry["fqn"] for entry in record["calls"]] == ["", "encoder", "embeddings", "pooler"]


def test_thresholds_warn_and_fail_under_decides(hx, bert, tmp_path):
    path = bert.with_name("model_hierarchy.json")
    sidecar = json.loads(path.read_text())
    row = sidecar["summary"]["category_statistics"]["activation"]
    row["tagged"] -= 1
    next(node for node in sidecar["nodes"] if node["op_type"] == "Softmax")["known"] = False
    path.write_text(json.dumps(sidecar))
    share = 100 * row["tagged"] / row["total"]
    assert hx("analyze", bert, "--threshold", f"activation={share - 1}").err == ""
    (tmp_path / "t.toml").write_text("[thresholds]\nactivation = 99\n")
    result = hx("analyze", bert, "--thresholds", tmp_path / "t.toml", "--fail-under", "90")
    assert result.code == 0
    assert result.err == f"warning: activation, which is critical: {share:.1f} % of the nodes covered, below 99 %.\n"
    result = hx("-q", "analyze", bert, "--fail-under", "99.9")
    assert (result.code, result.err) == (1, "")
    assert hx("analyze", bert, "--fail-under", "99").code == 0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--threshold", "activation"), "HX406", "is not NAME=PERCENT"),
        (("--threshold", "activation=high"), "HX406", "is no percentage"),
        (("--threshold", "nonsense=90"), "HX406", "no category 'nonsense'"),
        (("--category", "nonsense"), "HX406", "no category 'nonsense'"),
        (("--thresholds", "none.toml"), "HX406", "cannot be read"),
        (("--module", "nonsense"), "HX401", "No module call matches"),
        (("--input-shape", "input_ids=3"), "HX409", "'input_ids' cannot have the shape [3]"),
        (("--format", "xml"), "HX405", "xml"),
    ],
)
def test_options_that_cannot_be(hx, bert, options, code, words):
    error = hx("analyze", bert, *options).error
    assert code in error
    assert words in error


def test_csv_has_a_row_for_every_call_or_node(hx, bert, analyzed):
    rows = list(csv.DictReader(io.StringIO(hx("analyze", bert, "--format", "csv").out)))
    record = analyzed(bert)
    assert [row["fqn"] for row in rows] == [entry["fqn"] for entry in record["calls"]]
    assert int(rows[0]["macs"]) == record["cost"]["total"]["macs"]
    rows = list(csv.DictReader(io.StringIO(hx("analyze", bert, "--format", "csv", "--detailed").out)))
    assert len(rows) == record["nodes"]
    assert sum(int(row["macs"]) for row in rows) == record["cost"]["total"]["macs"]


def test_a_report_is_written_to_a_file_in_the_form_of_its_ending(hx, bert, tmp_path):
    for name, start in (("r.json", "{"), ("r.csv", "fqn,call"), ("r.txt", "╭")):
        result = hx("analyze", bert, "-o", tmp_path / name)
        assert (result.code, result.out, result.err) == (0, "", "")
        assert (tmp_path / name).read_text().startswith(start)
    assert "HX402" in hx("analyze", bert, "-o", tmp_path / "r.json").error
    assert hx("analyze", bert, "-o", tmp_path / "r.json", "--overwrite", "--format", "csv").code == 0
    assert (tmp_path / "r.json").read_text().startswith("fqn,")


def test_a_model_without_a_sidecar_is_told_how_to_get_one(hx, bert):
    bert.with_name("model_hierarchy.json").unlink()
    result = hx("analyze", bert)
    assert "HX301" in result.error
    assert "hx project" in result.err


def test_a_sidecar_without_its_model_tells_of_coverage_alone(hx, bert):
    bert.unlink()
    result = hx("analyze", bert)
    assert result.code == 0
    assert result.err == f"warning: {bert} is missing: coverage is its sidecar's, cost is not known.\n"
    assert "mathematical" in result.out
    assert "MACs" not in result.out
    record = json.loads(hx("analyze", bert, "--json", "--detailed").out)
    assert record["cost"] is None
    assert record["calls"][0]["total"] is None


def test_a_sidecar_alone_needs_no_graph_library(bert):
    bert.unlink()
    code = f"""
import sys
from hx_cli._main import run
assert run(["analyze", {str(bert)!r}]) == 0
assert not [name for name in ("numpy", "onnx", "onnx_ir", "onnxruntime", "torch") if name in sys.modules]
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_model_without_modules(analyzed, tmp_path, hx):
    (tmp_path / "plain.py").write_text(
        "import torch\nclass Plain(torch.nn.Module):\n    def forward(self, x):\n        return x @ x\n"
        "def plain():\n    return Plain(), {'x': torch.ones(3, 3)}\n"
    )
    assert hx("-q", "export", f"{tmp_path}/plain.py:plain", "-o", tmp_path / "plain.onnx").code == 0
    record = analyzed(tmp_path / "plain.onnx")
    assert [(entry["fqn"], entry["total"]["macs"]) for entry in record["calls"]] == [("", 27)]


@pytest.mark.findings("V02")
def test_an_operator_that_nobody_knows_is_named(hx, perceptron, tmp_path):
    proto = onnx.load(perceptron)
    (gemm, *_) = [node for node in proto.graph.node if node.op_type == "Gemm"]
    gemm.op_type, gemm.domain = "Mix", "made.up"
    del gemm.attribute[:]
    proto.opset_import.append(onnx.helper.make_opsetid("made.up", 1))
    onnx.save(proto, tmp_path / "mixed.onnx")
    assert hx("-q", "project", tmp_path / "mixed.onnx").code == 0
    result = hx("analyze", tmp_path / "mixed.onnx")
    assert "warning: 1 node of made.up::Mix not counted: no formula.\n" in result.err
    assert "at least 48 " in result.out


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_tables_fit_the_terminal(hx, bert, columns):
    result = hx("analyze", bert, columns=columns)
    assert max(map(len, result.out.splitlines())) <= columns
    assert " 1.65 M " in result.out
    assert "BertLayer.1" in result.out


def test_nothing_is_cut_in_a_pipe(hx, whisper_once):
    result = hx("analyze", whisper_once, "--detailed", "-m", "WhisperModel")
    assert "…" not in result.out
    assert "decoder.layers.1.encoder_attn.out_proj" in result.out


def test_sizes_that_only_a_run_shows_come_from_one(analyzed, tmp_path, hx):
    (tmp_path / "chosen.py").write_text(
        "import torch\nclass Chosen(torch.nn.Module):\n    def forward(self, x):\n        return x[x > 0] * 3\n"
        "def chosen():\n    return Chosen(), {'x': torch.tensor([1.0, -1.0, 2.0])}\n"
    )
    path = tmp_path / "chosen.onnx"
    assert hx("-q", "export", f"{tmp_path}/chosen.py:chosen", "-o", path).code == 0
    record = analyzed(path, "--detailed")
    (product,) = [row for row in record["node_list"] if row["op_type"] == "Mul"]
    assert product["activation_bytes"] == 2 * 4
    assert record["cost"]["total"]["unsized_values"] == 0


def test_an_input_of_unknown_rank_leaves_sizes_unknown(hx, analyzed, tmp_path):
    relu = [onnx.helper.make_node("Relu", [one], [other]) for one, other in (("x", "h"), ("h", "y"))]
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy")
    model = onnx.helper.make_model(onnx.helper.make_graph(relu, "main", [x], [y]), ir_version=10)
    model.opset_import[0].version = 20
    onnx.save(model, tmp_path / "m.onnx")
    assert hx("project", tmp_path / "m.onnx").code == 0
    record = analyzed(tmp_path / "m.onnx")
    assert own(record, "", "nodes") == 2
    assert own(record, "", "activation_bytes") == 0
