"""`hx modules` and `hx nodes`."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import onnx
import pytest

from hx_sidecar_schema import Sidecar


def record(result) -> dict:
    assert (result.code, result.err) == (0, "")
    return json.loads(result.out)


@pytest.mark.parametrize("export", ["bert_once", "vit_once", "whisper_once"])
def test_modules_are_those_of_the_sidecar(hx, request, export):
    path: Path = request.getfixturevalue(export)
    sidecar = Sidecar.load(path.with_name("model_hierarchy.json"))
    found = record(hx("modules", path))
    assert [row["fqn"] for row in found["modules"]] == [module.fqn for module in sidecar.modules]
    assert found["hierarchy_depth"] == max(row["fqn"].count(".") + 1 for row in found["modules"] if row["fqn"])
    for row in found["modules"]:
        assert row["depth"] == (row["fqn"].count(".") + 1 if row["fqn"] else 0)
        parent = row["fqn"].rpartition(".")[0] if row["fqn"] else None
        assert row["parent"] == parent
    assert found["operation_hierarchy"] == sidecar.operation_hierarchy
    assert found["module_to_operations"] == sidecar.module_to_operations
    assert sum(map(len, found["module_to_operations"].values())) == len(sidecar.nodes)
    assert {re.sub(r"@\d+$", "", tag) for tag in found["module_to_operations"]} <= {
        *found["expected_hierarchy"].values()
    }


def test_a_module_is_described_as_pytorch_has_it(hx, bert_once):
    from transformers import BertModel
    from transformers.models.bert.modeling_bert import BertLayer

    rows = {row["fqn"]: row for row in record(hx("modules", bert_once))["modules"]}
    layer = rows["encoder.layer.1"]
    assert layer["class_name"] == f"{BertLayer.__module__}.BertLayer"
    assert layer["tag"] == "/BertModel/BertEncoder/BertLayer.1"
    assert layer["forward_args"] == [*inspect.signature(BertLayer.forward).parameters][1:]
    assert layer["forward_defaults"]["attention_mask"] is None
    assert layer["direct_parameters"] == []
    assert layer["children"] == {
        "attention": "BertAttention",
        "intermediate": "BertIntermediate",
        "output": "BertOutput",
    }
    assert layer["calls"] == 1
    assert rows["encoder.layer.1.output.LayerNorm"]["direct_parameters"] == ["weight", "bias"]
    assert rows["encoder.layer"]["calls"] == 0  # a list of modules has no forward
    assert rows[""]["class_name"].endswith(BertModel.__name__)


def test_a_pattern_shows_a_module_and_all_below_it(hx, bert_once):
    found = record(hx("modules", bert_once, "-m", "encoder.layer.0.output"))
    names = ["dense", "LayerNorm", "dropout"]
    assert {row["fqn"] for row in found["modules"]} == {
        "encoder.layer.0.output",
        *(f"encoder.layer.0.output.{n}" for n in names),
    }
    assert found["expected_hierarchy"]["encoder.layer.0.output.dense"].endswith("BertOutput")
    assert set(found["module_to_operations"]) == {
        "/BertModel/BertEncoder/BertLayer.0/BertOutput",
        "/BertModel/BertEncoder/BertLayer.0/BertOutput/LayerNorm",
    }
    assert found["hierarchy_depth"] > 3  # of the whole model


def test_a_file_is_written_whole_and_not_over_another(hx, perceptron):
    path = perceptron.with_name("modules.json")
    result = hx("modules", perceptron, "-o", path)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"4 modules and 3 nodes in {path}\n"
    assert json.loads(path.read_text()) == record(hx("modules", perceptron, "--json"))
    assert "HX402" in hx("modules", perceptron, "-o", path).error
    assert hx("modules", perceptron, "-o", path, "--overwrite").code == 0


def test_modules_need_a_model_and_its_sidecar(hx, perceptron):
    perceptron.with_name("model_hierarchy.json").rename(perceptron.with_name("x_hierarchy.json"))
    assert "HX301" in hx("modules", perceptron).error
    assert "HX202" in hx("modules", perceptron.with_name("x.onnx")).error
    assert "HX402" not in hx("nodes", perceptron.with_name("x.onnx"), "-m", "act").error


def names(proto: onnx.ModelProto, *op_types: str) -> list[str]:
    return [node.name for node in proto.graph.node if node.op_type in op_types]


def test_names_of_a_module_for_a_tool_that_takes_names(hx, bert, tmp_path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    result = hx("nodes", bert, "--module", "encoder.layer.1.attention")
    assert (result.code, result.err) == (0, "")
    kept = result.out.splitlines()
    products = names(onnx.load(bert), "MatMul")
    inside = [name for name in products if name in kept]
    assert len(inside) == 6  # query, key, value, scores, mix, output
    quantize_dynamic(
        bert,
        tmp_path / "int8.onnx",
        nodes_to_exclude=kept,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul"],
    )
    left = names(onnx.load(tmp_path / "int8.onnx"), "MatMul")
    assert set(inside) <= set(left)
    assert len(left) < len(products)  # the others are quantised
    everything = hx("nodes", bert, "-m", "BertModel").out.splitlines()
    assert set(everything) == {node.name for node in onnx.load(bert).graph.node}


@pytest.mark.parametrize(
    ("export", "pattern"), [("vit_once", "layers.0"), ("whisper_once", "encoder.layers.0"), ("bert_once", "BertLayer")]
)
def test_own_nodes_and_those_of_calls_inside(hx, request, export, pattern):
    path = request.getfixturevalue(export)
    whole = record(hx("nodes", path, "-m", pattern, "--json"))
    own = record(hx("nodes", path, "-m", pattern, "--own", "--json"))
    assert {row["tag"] for row in own["nodes"]} <= set(own["calls"]) == set(whole["calls"])
    expected = [row for row in whole["nodes"] if row["tag"] in whole["calls"]]
    assert own["nodes"] == expected
    assert len(whole["nodes"]) > len(expected)


def test_own_of_a_module_without_nodes_of_its_own(hx, bert_once):
    assert (
        "BertAttention has no node of its own"
        in hx("nodes", bert_once, "--own", "-m", "encoder.layer.0.attention").error
    )


def test_names_are_those_of_the_file_as_it_is(hx, perceptron):
    proto = onnx.load(perceptron)
    for index, node in enumerate(proto.graph.node):
        node.name = f"other{index}"
    onnx.save(proto, perceptron)
    assert hx("nodes", perceptron, "-m", "act").out == "other1\n"


def test_a_name_that_is_empty_is_an_error_and_one_that_is_shared_a_warning(hx, perceptron):
    proto = onnx.load(perceptron)
    proto.graph.node[0].name = proto.graph.node[2].name = "same"
    onnx.save(proto, perceptron)
    result = hx("nodes", perceptron, "-m", "first")
    assert (result.code, result.out) == (0, "same\n")
    assert result.err == "warning: 1 name of these nodes other nodes have too, like 'same'.\n"
    proto.graph.node[1].name = ""
    onnx.save(proto, perceptron)
    assert "1 of 3 nodes" in hx("nodes", perceptron, "-q", "-m", "Perceptron").error
    (node,) = record(hx("nodes", perceptron, "-m", "act", "--json"))["nodes"]
    assert (node["name"], node["op_type"]) == ("", "Relu")


def test_later_calls_have_nodes_of_their_own(hx, tmp_path, factories):
    assert hx("-q", "export", f"{factories}:twice", "-o", tmp_path / "m.onnx", "--no-verify").code == 0
    first, second, both = (
        set(hx("nodes", tmp_path / "m.onnx", "-m", f"block{which}").out.split()) for which in ("", "@1", "@*")
    )
    assert first
    assert second
    assert not first & second
    assert both == first | second
