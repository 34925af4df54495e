"""`hx compare`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest


@pytest.fixture
def pair(hx, tmp_path, factories):
    """Two exports of one model."""
    for name in ("a", "b"):
        assert hx("export", f"{factories}:deep", "-o", f"{name}.onnx", cwd=tmp_path).code == 0
    return tmp_path


def test_the_same_topology_under_other_names(hx, pair):
    proto = onnx.load(pair / "b.onnx")
    for index, node in enumerate(proto.graph.node):
        node.name = f"n{index}"
        node.output[:] = [name if name == proto.graph.output[0].name else f"v_{name}" for name in node.output]
    made = {name.removeprefix("v_"): name for node in proto.graph.node for name in node.output}
    for node in proto.graph.node:
        node.input[:] = [made.get(name, name) for name in node.input]
    onnx.save(proto, pair / "b.onnx")
    result = hx("compare", "a.onnx", "b.onnx")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("The same topology: ")
    assert json.loads(hx("compare", "a.onnx", "b.onnx", "--json").out)["same"] is True


def test_a_difference_is_named_with_its_modules(hx, pair):
    proto = onnx.load(pair / "b.onnx")
    for node in proto.graph.node:
        if node.op_type == "Tanh":
            node.op_type = "Sigmoid"
    onnx.save(proto, pair / "b.onnx")
    result = hx("compare", "a.onnx", "b.onnx")
    assert result.code == 1
    assert "Tanh: 6 and 0" in result.out
    assert re.search(r"layers\.\*  +Tanh in each of 6", result.out)  # equal layers once
    record = json.loads(hx("compare", "a.onnx", "b.onnx", "--json").out)
    (group,) = record["removed"]
    assert (group["module"], group["modules"], group["operators"]) == ("layers.*", 6, {"Tanh": 1})
    assert [(row["module"], row["op_type"], row["other_op_type"]) for row in record["divergence"]] == [
        ("layers.0", "Tanh", "Sigmoid")
    ]
    (group,) = record["added"]
    assert group["module"] is None  # the sidecar beside it is of another graph


def test_other_inputs_are_a_difference(hx, pair, factories):
    hx("export", f"{factories}:deep", "-o", "c.onnx", "--dynamic", cwd=pair)
    result = hx("compare", "a.onnx", "c.onnx")
    assert result.code == 1
    assert "inputs 0: FLOAT[3,4] and FLOAT[?,4]" in result.out


def test_a_missing_file_is_named(hx, pair):
    assert "error[HX202]" in hx("compare", "a.onnx", "none.onnx").error


@pytest.mark.parametrize(
    ("export", "operator", "module"),
    [
        ("bert_once", "Tanh", "pooler.activation"),
        ("vit_once", "Conv", "embeddings.patch_embeddings.projection"),
        ("whisper_once", "Conv", "encoder.conv*"),
    ],
)
def test_what_changed_in_a_real_model_is_named(hx, request, tmp_path, export, operator, module):
    path: Path = request.getfixturevalue(export)
    proto = onnx.load(path)
    for node in proto.graph.node:
        if node.op_type == operator:
            node.op_type, node.domain = "Other", "some.domain"
    onnx.save(proto, tmp_path / "other.onnx")
    assert hx("compare", path, path).code == 0
    result = hx("compare", path, tmp_path / "other.onnx", "--json")
    assert (result.code, result.err) == (1, "")
    record = json.loads(result.out)
    assert [(group["module"], [*group["operators"]]) for group in record["removed"]] == [(module, [operator])]
    assert [[*group["operators"]] for group in record["added"]] == [["Other"]]
    assert record["rewired"] == record["inputs"] == record["outputs"] == []


def test_sixty_columns_lose_nothing(hx, bert):
    proto = onnx.load(bert)
    for node in proto.graph.node:
        if node.op_type == "Softmax":
            node.op_type = "Hardmax"
    other = bert.with_name("other.onnx")
    onnx.save(proto, other)
    row = "encoder.layer.*.attention.self Softmax in each of 2"
    narrow, wide = (hx("compare", bert, other, columns=columns).out for columns in (60, 120))
    assert max(map(len, narrow.splitlines())) <= 60
    assert row in " ".join(wide.split())
    assert sorted("".join(narrow.split())) == sorted("".join(wide.split()))


def test_a_change_of_the_model_itself_and_of_a_model_without_sidecar(hx, pair):
    proto = onnx.load(pair / "a.onnx")
    end = proto.graph.output[0]
    for name, node in (("c", "Neg"), ("d", "Abs")):
        other = onnx.ModelProto()
        other.CopyFrom(proto)
        other.graph.node.append(onnx.helper.make_node(node, [end.name], ["end"]))
        other.graph.output[0].name = "end"
        onnx.save(other, pair / f"{name}.onnx")
    result = hx("compare", "c.onnx", "d.onnx")
    assert (result.code, result.err) == (1, "")
    assert re.search(r"Only in the first: 1 node\n  module unknown +Neg", result.out)


def test_nodes_of_the_root_are_not_unknown(hx, bert):
    proto = onnx.load(bert)
    for node in proto.graph.node:
        if node.op_type == "And":
            node.op_type = "Or"
    onnx.save(proto, bert.with_name("other.onnx"))
    result = hx("compare", bert, bert.with_name("other.onnx"), columns=120)
    assert "the model itself  And" in result.out


def test_a_sidecar_without_its_model_is_a_missing_file(hx, bert):
    bert.rename(bert.with_name("moved.onnx"))
    assert "HX202" in hx("compare", bert, bert.with_name("moved.onnx")).error
