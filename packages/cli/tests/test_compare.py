"""`hx compare`."""

from __future__ import annotations

import json

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
    assert "layers.*: Tanh in each of 6" in result.out  # equal layers once
    record = json.loads(hx("compare", "a.onnx", "b.onnx", "--json").out)
    (group,) = record["removed"]
    assert (group["module"], group["modules"], group["operators"]) == ("layers.*", 6, {"Tanh": 1})
    assert [(row["module"], row["op_type"], row["other_op_type"]) for row in record["divergence"]] == [
        ("layers.0", "Tanh", "Sigmoid")
    ]
    (group,) = record["added"]
    assert group["module"] == ""  # the sidecar beside it is of another graph


def test_other_inputs_are_a_difference(hx, pair, factories):
    hx("export", f"{factories}:deep", "-o", "c.onnx", "--dynamic", cwd=pair)
    result = hx("compare", "a.onnx", "c.onnx")
    assert result.code == 1
    assert "inputs 0: FLOAT[3,4] and FLOAT[?,4]" in result.out


def test_a_missing_file_is_named(hx, pair):
    assert "error[HX202]" in hx("compare", "a.onnx", "none.onnx").error
