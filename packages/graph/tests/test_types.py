"""Types that a file leaves out."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from hx_graph import infer_types, read_model


def test_what_is_inferred_may_be_a_map_which_has_no_type(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"]),
        helper.make_node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 2])
    element = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    z = helper.make_value_info("z", helper.make_sequence_type_proto(element))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "g", [x], [z]), opset_imports=opsets, ir_version=10),
        tmp_path / "m.onnx",
    )
    model = read_model(tmp_path / "m.onnx")
    infer_types(model)
    assert model.graph.node(0).outputs[0].shape == [3, 2]


REFUSED = """<ir_version: 10, opset_import: ["": 20]>
main (float[2, 4] x, float[4] w) => (float[2, 4] z) { y = Add(x, w) z = Relu(y) }
"""


def test_a_model_that_the_inference_refuses_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    model = ir.from_onnx_text(REFUSED)
    infer_types(model)
    assert model.graph[0].outputs[0].shape is not None
    model = ir.from_onnx_text(REFUSED)
    model.opset_imports.clear()
    infer_types(model)
    assert "No opset import" in caplog.text
    assert model.graph[0].outputs[0].type is None
