"""What an extracted model computes, and what it says about itself; ONNX Runtime and numpy are the judges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from hx_extractor import Extraction, Hierarchy, load
from hx_sidecar_schema import HxError

ExportByHand = Callable[..., Hierarchy]

X = np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]], dtype=np.float32)
W = np.array([1.0, 2.0, 3.0], dtype=np.float32)

CHAIN = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x) => (float[2,3] y)
<float[3] w = {1.0, 2.0, 3.0}>
{
  h = Add(x, w)
  a = Mul(h, w)
  b = Relu(a)
  y = Neg(b)
}
"""
CHAIN_CALLS = [
    {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}},
    {"fqn": "body", "inputs": {"hidden": "h"}, "outputs": {"output": "b"}},
    {"fqn": "body.scale", "parent": 1, "inputs": {"input": "h"}, "outputs": {"output": "a"}},
]
CHAIN_OWNERS = {"h": 0, "a": 2, "b": 1, "y": 0}


def chain(export_by_hand: ExportByHand, folder: Path) -> Hierarchy:
    return export_by_hand(folder, CHAIN, CHAIN_CALLS, owners=CHAIN_OWNERS, feeds={"x": X})


def one_call(
    export_by_hand: ExportByHand,
    folder: Path,
    text: str,
    inputs: dict[str, str],
    outputs: dict[str, str],
    owned: str = "",
    **more: object,
) -> Extraction:
    """Export a graph in which module `m` was called once, and cut that call out."""
    calls = [{"fqn": "", "inputs": {}, "outputs": {}}, {"fqn": "m", "inputs": inputs, "outputs": outputs, **more}]
    model = export_by_hand(folder, text, calls, owners=dict.fromkeys(owned.split(), 1), feeds={"x": X})
    return model.extract(1)


def op_types(extraction: Extraction) -> list[str]:
    return [node.op_type for node in extraction.model.graph]


def output_names(extraction: Extraction) -> list[str | None]:
    return [value.name for value in extraction.model.graph.outputs]


# What is in the cut


def test_a_call_computes_what_its_nodes_compute(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    extraction = chain(export_by_hand, tmp_path).extract("body")
    assert op_types(extraction) == ["Mul", "Relu"]
    result = extraction.run({"hidden": X})
    np.testing.assert_array_equal(result["output"], np.maximum(X * W, 0))


def test_inputs_and_outputs_are_typed(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    graph = chain(export_by_hand, tmp_path).extract("body").model.graph
    for value in (*graph.inputs, *graph.outputs):
        assert value.dtype == ir.DataType.FLOAT
        assert list(value.shape or ()) == [2, 3]


def test_the_root_call_is_the_whole_model(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    extraction = chain(export_by_hand, tmp_path).extract(0)
    np.testing.assert_array_equal(extraction.run({"x": X})["output"], -np.maximum((X + W) * W, 0))


def test_opset_imports_and_ir_version_are_the_models(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = CHAIN.replace('"": 20', '"": 18, "com.microsoft": 1').replace("ir_version: 10", "ir_version: 9")
    model = export_by_hand(tmp_path, text, CHAIN_CALLS, owners=CHAIN_OWNERS)
    extracted = model.extract("body").model
    assert extracted.opset_imports == {"": 18, "com.microsoft": 1}
    assert extracted.ir_version == 9


def test_what_the_result_tells(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    extraction = chain(export_by_hand, tmp_path).extract("body")
    assert extraction.tag == "/Net/Body"
    assert extraction.module.fqn == "body"
    assert extraction.operations == ["a", "b"]
    assert extraction.external_inputs == ["h"]
    assert extraction.internal_tensors == ["a"]
    assert extraction.boundary_operations == ["h"]
    assert extraction.implicit_inputs == []


def test_a_shared_node_of_another_owner_is_copied_in(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (float[2,3] y, float[2,3] z)
    <float[3] w = {1.0, 2.0, 3.0}>
    {
      scale = Exp(w)
      y = Mul(x, scale)
      z = Mul(y, scale)
    }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"a": "y"}, {"output": "z"}, owned="z")
    np.testing.assert_allclose(extraction.run({"a": X})["output"], X * np.exp(W), rtol=1e-6)
    assert extraction.operations == ["scale", "z"]
    assert extraction.boundary_operations == ["scale", "y"]
    assert extraction.recomputed == []  # a constant


def test_nodes_of_others_that_compute_from_its_inputs_are_told(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    """Of a chain of them the last counts, which the call's own nodes read."""
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (float[2,3] z)
    {
      gate = Sin(x)
      half = Sigmoid(gate)
      y = Neg(x)
      z = Mul(y, half)
    }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"a": "x"}, {"output": "z"}, owned="y z")
    assert extraction.recomputed == ["half"]
    whole = one_call(export_by_hand, tmp_path, text, {"a": "x"}, {"output": "z"}, owned="gate half y z")
    assert whole.recomputed == []


def test_an_implicit_input_is_an_input_and_marked(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x, float[2,3] other) => (float[2,3] y)
    { h = Relu(x)  y = Sub(h, other) }
    """
    extraction = one_call(
        export_by_hand,
        tmp_path,
        text,
        {"hidden": "h"},
        {"output": "y"},
        owned="y",
        implicit={"implicit.other": "other"},
    )
    assert extraction.implicit_inputs == ["implicit.other"]
    result = extraction.run({"hidden": X, "implicit.other": 2 * X})
    np.testing.assert_array_equal(result["output"], -X)


def test_an_unused_argument_is_no_input(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x, float[2,3] mask) => (float[2,3] y)
    { y = Relu(x) }
    """
    extraction = one_call(
        export_by_hand, tmp_path, text, {"x": "x", "mask": "mask"}, {"output": "y"}, owned="y", unused={"mask"}
    )
    assert [port.name for port in extraction.inputs] == ["x"]
    np.testing.assert_array_equal(extraction.run({"x": X})["output"], np.maximum(X, 0))


def test_inputs_come_in_forward_order(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x, float[2,3] z) => (float[2,3] y)
    { y = Sub(x, z) }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"b": "z", "a": "x"}, {"output": "y"}, owned="y")
    assert [value.name for value in extraction.model.graph.inputs] == ["b", "a"]
    np.testing.assert_array_equal(extraction.run({"a": X, "b": 3 * X})["output"], -2 * X)


# Outputs that are something else, too


def test_an_output_may_feed_another_output(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (float[2,3] y)
    { h = Relu(x)  y = Neg(h) }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"x": "x"}, {"output.0": "y", "output.1": "h"}, owned="h y")
    assert output_names(extraction) == ["output.0", "output.1"]
    result = extraction.run({"x": X})
    np.testing.assert_array_equal(result["output.0"], -np.maximum(X, 0))
    np.testing.assert_array_equal(result["output.1"], np.maximum(X, 0))


def test_an_output_may_be_an_input(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (float[2,3] y)
    { y = Neg(x) }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"x": "x"}, {"x.output": "x", "last": "y"}, owned="y")
    result = extraction.run({"x": X})
    np.testing.assert_array_equal(result["x.output"], X)
    np.testing.assert_array_equal(result["last"], -X)


def test_two_outputs_may_be_one_value(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (float[2,3] y)
    { y = Neg(x) }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"x": "x"}, {"first": "y", "second": "y"}, owned="y")
    result = extraction.run({"x": X})
    np.testing.assert_array_equal(result["first"], -X)
    np.testing.assert_array_equal(result["second"], -X)


def test_an_output_may_be_a_weight(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (float[2,3] y)
    <float[3] w = {1.0, 2.0, 3.0}>
    { y = Add(x, w) }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"x": "x"}, {"output.0": "y", "output.1": "w"}, owned="y")
    result = extraction.run({"x": X})
    np.testing.assert_array_equal(result["output.0"], X + W)
    np.testing.assert_array_equal(result["output.1"], W)
    extraction.validate()


# Names


def test_a_port_may_be_called_like_an_inner_value(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (float[2,3] y)
    <float[3] output = {1.0, 2.0, 3.0}>
    { h = Relu(x)  hidden = Mul(h, output)  x2 = Neg(hidden)  y = Exp(x2) }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"hidden": "h"}, {"output": "x2"}, owned="hidden x2")
    np.testing.assert_array_equal(extraction.run({"hidden": X})["output"], -X * W)


def test_ports_may_swap_names_with_graph_inputs(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x, float[2,3] z) => (float[2,3] y)
    { y = Sub(x, z) }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"z": "x", "x": "z"}, {"output": "y"}, owned="y")
    np.testing.assert_array_equal(extraction.run({"z": X, "x": 3 * X})["output"], -2 * X)


BRANCH = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x, bool c) => (float[2,3] y)
<float[3] w = {1.0, 2.0, 3.0}>
{
  h = Relu(x)
  y = If (c) <
    then_branch = then_graph () => (float[2,3] t) { hidden = Add(h, w)  t = Neg(hidden) },
    else_branch = else_graph () => (float[2,3] e) { flag = Sub(h, w)  e = Identity(flag) }
  >
}
"""


@pytest.mark.parametrize("names", [("hidden", "flag", "output"), ("t", "e", "w"), ("h", "c", "y")])
def test_ports_may_be_called_like_values_in_if_bodies(
    export_by_hand: ExportByHand, tmp_path: Path, names: tuple[str, str, str]
) -> None:
    hidden, flag, output = names
    extraction = one_call(export_by_hand, tmp_path, BRANCH, {hidden: "h", flag: "c"}, {output: "y"}, owned="y")
    for condition, expected in ((True, -(X + W)), (False, X - W)):
        result = extraction.run({hidden: X, flag: np.array(condition)})
        np.testing.assert_array_equal(result[output], expected)


def test_a_body_captures_what_is_copied_in(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = BRANCH.replace("h = Relu(x)", "h = Relu(x)  half = Neg(w)").replace("Add(h, w)", "Add(h, half)")
    extraction = one_call(export_by_hand, tmp_path, text, {"a": "h", "b": "c"}, {"output": "y"}, owned="y")
    result = extraction.run({"a": X, "b": np.array(True)})
    np.testing.assert_array_equal(result["output"], W - X)
    assert "half" in extraction.operations


def test_a_port_may_be_called_like_a_weight_of_a_body(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x, bool c) => (float[2,3] y)
    {
      h = Relu(x)
      y = If (c) <
        then_branch = g1 () => (float[2,3] t) <float[3] bias = {1.0, 2.0, 3.0}> { t = Add(h, bias) },
        else_branch = g2 () => (float[2,3] e) { e = Neg(h) }
      >
    }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"bias": "h", "e": "c"}, {"t": "y"}, owned="y")
    result = extraction.run({"bias": X, "e": np.array(True)})
    np.testing.assert_array_equal(result["t"], X + W)


LOOP = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x, int64 n) => (float[2,3] y)
<float[3] w = {1.0, 2.0, 3.0}, bool go = {1}>
{
  h = Relu(x)
  y = Loop (n, go, h) <
    body = loop_body (int64 i, bool before, float[2,3] state) => (bool after, float[2,3] next) {
      after = Identity(before)
      step = Add(state, w)
      next = Add(step, h)
    }
  >
}
"""


@pytest.mark.parametrize("names", [("hidden", "count", "output"), ("state", "i", "next"), ("step", "before", "after")])
def test_ports_may_be_called_like_values_in_loop_bodies(
    export_by_hand: ExportByHand, tmp_path: Path, names: tuple[str, str, str]
) -> None:
    hidden, count, output = names
    extraction = one_call(export_by_hand, tmp_path, LOOP, {hidden: "h", count: "n"}, {output: "y"}, owned="y")
    for times in (0, 3):
        result = extraction.run({hidden: X, count: np.array(times)})
        np.testing.assert_array_equal(result[output], X + times * (X + W))


NESTED = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x, int64 n, bool c) => (float[2,3] y)
<float[3] w = {1.0, 2.0, 3.0}, bool go = {1}>
{
  h = Relu(x)
  y = If (c) <
    then_branch = g1 () => (float[2,3] t) {
      t = Loop (n, go, h) <
        body = loop_body (int64 i, bool before, float[2,3] state) => (bool after, float[2,3] next) {
          after = Identity(before)
          step = Add(state, w)
          next = Add(step, h)
        }
      >
    },
    else_branch = g2 () => (float[2,3] e) { e = Neg(h) }
  >
}
"""


@pytest.mark.parametrize("names", [("hidden", "count", "flag"), ("state", "i", "before"), ("step", "t", "g1")])
def test_ports_may_be_called_like_values_in_nested_bodies(
    export_by_hand: ExportByHand, tmp_path: Path, names: tuple[str, str, str]
) -> None:
    hidden, count, flag = names
    extraction = one_call(
        export_by_hand, tmp_path, NESTED, {hidden: "h", count: "n", flag: "c"}, {"output": "y"}, owned="y"
    )
    result = extraction.run({hidden: X, count: np.array(2), flag: np.array(True)})
    np.testing.assert_array_equal(result["output"], X + 2 * (X + W))
    result = extraction.run({hidden: X, count: np.array(2), flag: np.array(False)})
    np.testing.assert_array_equal(result["output"], -X)
    onnx.checker.check_model(ir.to_proto(extraction.model))


def test_extracting_leaves_the_model_alone(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    model = export_by_hand(
        tmp_path,
        BRANCH,
        [
            {"fqn": "", "inputs": {"x": "x", "c": "c"}, "outputs": {"output": "y"}},
            {"fqn": "m", "inputs": {"t": "h", "hidden": "c"}, "outputs": {"w": "y"}},
        ],
        owners={"y": 1},
    )
    before = ir.to_proto(model.model).SerializeToString(deterministic=True)
    model.extract(1).run({"t": X, "hidden": np.array(True)})
    model.extract(1).save(tmp_path / "cut" / "m.onnx")
    assert ir.to_proto(model.model).SerializeToString(deterministic=True) == before


# Functions


FUNCTIONS = """
<ir_version: 10, opset_import: ["": 20, "local": 1]>
main (float[2,3] x) => (float[2,3] y)
<float[3] w = {1.0, 2.0, 3.0}>
{
  h = local.outer(x, w)
  k = Relu(h)
  y = local.other(k)
}
<domain: "local", opset_import: ["": 20, "local": 1]>
outer (a, b) => (r) { s = local.inner(a)  r = Mul(s, b) }
<domain: "local", opset_import: ["": 20]>
inner (a) => (r) { r = Neg(a) }
<domain: "local", opset_import: ["": 20]>
other (a) => (r) { r = Exp(a) }
"""


def test_functions_come_with_those_they_call(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    extraction = one_call(export_by_hand, tmp_path, FUNCTIONS, {"input": "x"}, {"output": "k"}, owned="h k")
    assert {key[1] for key in extraction.model.functions} == {"outer", "inner"}
    np.testing.assert_array_equal(extraction.run({"input": X})["output"], np.maximum(-X * W, 0))


def test_functions_called_in_bodies_come_too(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = FUNCTIONS.replace(
        "y = local.other(k)",
        """y = If (c) <
            then_branch = g1 () => (float[2,3] t) { t = local.inner(k) },
            else_branch = g2 () => (float[2,3] e) { e = Identity(k) }
        >""",
    ).replace("main (float[2,3] x)", "main (float[2,3] x, bool c)")
    extraction = one_call(export_by_hand, tmp_path, text, {"a": "k", "b": "c"}, {"output": "y"}, owned="y")
    assert {key[1] for key in extraction.model.functions} == {"inner"}
    np.testing.assert_array_equal(extraction.run({"a": X, "b": np.array(True)})["output"], -X)


# Sizes


def sized(export_by_hand: ExportByHand, folder: Path, shape_node: str) -> Extraction:
    """A call that spreads a row over the batch, whose size the graph reads from a tensor it never sees."""
    text = f"""
    <ir_version: 10, opset_import: ["": 20]>
    main (float[batch,3] x, float[batch,3] z) => (float[batch,3] y)
    <float[3] w = {{1.0, 2.0, 3.0}}, int64[1] width = {{3}}>
    {{
      h = Neg(x)
      n = {shape_node}
      shape = Concat<axis = 0>(n, width)
      rows = Expand(w, shape)
      y = Mul(h, rows)
    }}
    """
    return one_call(export_by_hand, folder, text, {"hidden": "h"}, {"output": "y"}, owned="rows y")


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_a_size_of_a_graph_input_is_read_from_the_calls_own(
    export_by_hand: ExportByHand, tmp_path: Path, batch: int
) -> None:
    extraction = sized(export_by_hand, tmp_path, "Shape<start = 0, end = 1>(z)")
    assert [value.name for value in extraction.model.graph.inputs] == ["hidden"]
    hidden = np.arange(3 * batch, dtype=np.float32).reshape(batch, 3)
    np.testing.assert_array_equal(extraction.run({"hidden": hidden})["output"], hidden * W)


def test_a_whole_shape_is_read_from_the_calls_own(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[batch,3,seq] v, float[seq,4,batch] z) => (float[seq,4,batch] y)
    <float[1] w = {2.0}>
    {
      h = Neg(v)
      shape = Shape(z)
      total = ReduceSum<keepdims = 0>(h)
      y = Expand(total, shape)
    }
    """
    extraction = one_call(export_by_hand, tmp_path, text, {"hidden": "h"}, {"output": "y"}, owned="total y")
    hidden = np.ones((5, 3, 2), dtype=np.float32)
    np.testing.assert_array_equal(extraction.run({"hidden": hidden})["output"], np.full((2, 4, 5), 30.0))


def test_a_size_that_an_inner_node_reads_stays(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    extraction = sized(export_by_hand, tmp_path, "Shape<start = 0, end = 1>(h)")
    hidden = np.ones((4, 3), dtype=np.float32)
    assert op_types(extraction).count("Shape") == 1
    np.testing.assert_array_equal(extraction.run({"hidden": hidden})["output"], hidden * W)


# Validation and errors


def test_validation_compares_with_the_model(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    model = chain(export_by_hand, tmp_path)
    for call in model:
        assert call.extract().validate().max_abs_error == 0.0


def test_validation_notices_a_wrong_model(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    extraction = chain(export_by_hand, tmp_path).extract("body")
    extraction.model.graph[0].op_type = "Add"
    assert extraction.validate().max_abs_error > 0.5


def test_the_calls_own_inputs_are_what_the_model_computes(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    inputs = chain(export_by_hand, tmp_path).extract("body").example_inputs()
    np.testing.assert_array_equal(inputs["hidden"], X + W)


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(HxError) as caught:
        action()
    assert caught.value.hint
    return caught.value.code


def test_a_call_that_is_not_extractable_says_why(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    calls = [
        {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}},
        {
            "fqn": "norm",
            "inputs": {},
            "outputs": {"output": "y"},
            "status": "fused",
            "reason": "The exporter merged it with '/Net/Conv'.",
        },
    ]
    model = export_by_hand(tmp_path, CHAIN, calls)
    with pytest.raises(HxError, match=r"'/Net/Norm' is fused.*merged it with '/Net/Conv'") as caught:
        model.extract("norm")
    assert caught.value.code == "HX205"


def test_an_unknown_call_is_refused(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    model = chain(export_by_hand, tmp_path)
    assert code_of(lambda: model.extract("bodi")) == "HX401"


def test_a_value_that_the_model_lacks_is_named(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    calls = [
        {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}},
        {"fqn": "m", "inputs": {"x": "x"}, "outputs": {"output": "nowhere"}},
    ]
    model = export_by_hand(tmp_path, CHAIN, calls)
    with pytest.raises(HxError, match="'nowhere'") as caught:
        model.extract("m")
    assert caught.value.code == "HX201"


def test_feeds_that_do_not_fit_are_refused(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    extraction = chain(export_by_hand, tmp_path).extract("body")
    assert code_of(lambda: extraction.run({})) == "HX207"
    assert code_of(lambda: extraction.run({"hidden": X, "more": X})) == "HX207"
    assert code_of(lambda: extraction.run({"hidden": X.astype(np.float64)})) == "HX207"
    assert code_of(lambda: extraction.run({"hidden": X[:, :2]})) == "HX207"


def test_without_recorded_inputs_there_is_nothing_to_compare(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    model = export_by_hand(tmp_path, CHAIN, CHAIN_CALLS, owners=CHAIN_OWNERS)
    assert code_of(lambda: model.extract("body").validate()) == "HX206"


def test_a_port_of_unknown_rank_has_no_shape(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    """A record says the same of it as of a scalar; the model tells them apart."""
    text = """<ir_version: 10, opset_import: ["": 20]> main (float[2,3] x, int64[n] s) => (float[] y, float z)
      { h = Reshape(x, s)  y = Sin(h)  z = ReduceSum <keepdims=0> (y) }"""
    cut = one_call(export_by_hand, tmp_path, text, {"input": "h"}, {"output": "y", "total": "z"}, "y z")
    assert [value.shape for value in (*cut.model.graph.inputs, *cut.model.graph.outputs)] == [None, None, ir.Shape([])]
    cut.save(tmp_path / "part.onnx")
    y, z = cut.session().run(None, {"input": X})
    np.testing.assert_allclose(y, np.sin(X), rtol=1e-5)
    np.testing.assert_allclose(z, np.sin(X).sum(), rtol=1e-5)


@pytest.mark.findings("V53")  # modules made by hand do not list their children
def test_a_part_knows_what_its_sizes_are(export_by_hand: ExportByHand, tmp_path: Path) -> None:
    """A call in it reads a size from its own input, as in the exported model: it is no further input."""
    text = """<ir_version: 10, opset_import: ["": 20]> main (float[N,3] x, float[N] e) => (float[N,3] y)
      { n = Shape(e)  h = Sin(x)  k = Cos(h)  i = CastLike(n, k)  y = Mul(k, i) }"""
    ports = {"inputs": {"x": "h"}, "outputs": {"output": "y"}}
    calls = [
        {"fqn": "", "inputs": {"x": "x", "e": "e"}, "outputs": {"output": "y"}},
        {"fqn": "outer", **ports},
        {"fqn": "outer.inner", **ports, "inputs": {"x": "k"}, "parent": 1},
    ]
    model = export_by_hand(tmp_path, text, calls, owners={"k": 1, "y": 2})
    model.sidecar.sizes["n"] = "N"
    model.extract("outer").save(tmp_path / "outer.onnx")
    part = load(tmp_path / "outer.onnx")
    assert list(part.sidecar.sizes.values()) == ["N"]
    assert [port.name for port in part.extract("outer.inner").inputs] == ["x"]
