"""Models made of an export: which calls can still be cut out, and what they compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from hx_extractor import Hierarchy, load, load_transformed
from hx_sidecar_schema import HxError

ExportByHand = Callable[..., Hierarchy]

X = np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]], dtype=np.float32)
W = np.array([1.0, 2.0, 3.0], dtype=np.float32)

EXPORT = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x) => (float[2,3] y)
<float[3] w = {1.0, 2.0, 3.0}>
{ h = Add(x, w)  a = Mul(h, w)  b = Relu(a)  y = Neg(b) }
"""
CALLS = [
    {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}},
    {"fqn": "body", "inputs": {"hidden": "h"}, "outputs": {"output": "b"}},
    {"fqn": "tail", "inputs": {"input": "b"}, "outputs": {"output": "y"}},
]
OWNERS = {"h": 0, "a": 1, "b": 1, "y": 2}

HALF = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x) => (float[2,3] y)
<float[3] w = {1.0, 2.0, 3.0}>
{
  v = Cast<to = 10>(w)  x0 = Cast<to = 10>(x)
  h = Add(x0, v)  a = Mul(h, v)  b = Relu(a)  y0 = Neg(b)
  y = Cast<to = 1>(y0)
}
"""


@pytest.fixture
def transformed(export_by_hand: ExportByHand, tmp_path: Path) -> Callable[[str], Hierarchy]:
    """Export, write another model beside it, and open that one with the export's sidecar."""
    export = export_by_hand(tmp_path, EXPORT, CALLS, owners=OWNERS, feeds={"x": X})

    def open_with(text: str) -> Hierarchy:
        ir.save(ir.from_onnx_text(text), tmp_path / "other.onnx")
        return load_transformed(tmp_path / "other.onnx", export.path)

    return open_with


def test_load_itself_still_refuses_it(transformed: Callable[[str], Hierarchy]) -> None:
    model = transformed(HALF)
    with pytest.raises(HxError) as caught:
        load(model.path, model.path.with_name("model_hierarchy.json"))
    assert caught.value.code == "HX203"


def test_ports_have_the_types_of_the_transformed_graph(transformed: Callable[[str], Hierarchy]) -> None:
    """Nothing in the text says what `h` and `b` are: their types are inferred."""
    body = transformed(HALF).extract("body")
    assert [port.dtype for port in (*body.inputs, *body.outputs)] == ["FLOAT16", "FLOAT16"]
    (result,) = body.run({"hidden": X.astype(np.float16)}).values()
    assert result.dtype == np.float16
    np.testing.assert_array_equal(result, np.maximum(X * W, 0))


def test_whole_runs_take_the_export_inputs(transformed: Callable[[str], Hierarchy]) -> None:
    model = transformed(HALF.replace("(float[2,3] x)", "(float16[2,3] x)").replace("Cast<to = 10>(x)", "Identity(x)"))
    values = model.run({"x": X}, ["h", "y"])
    assert values["h"].dtype == np.float16
    np.testing.assert_array_equal(values["y"], -np.maximum((X + W) * W, 0))


def test_holds(transformed: Callable[[str], Hierarchy]) -> None:
    model = transformed(HALF)
    assert model.holds("h")
    assert not model.holds("nothing")


def test_a_fused_boundary_is_said_to_be_gone(transformed: Callable[[str], Hierarchy]) -> None:
    """`h` has been merged away; only the call that begins there is lost."""
    model = transformed(EXPORT.replace("h = Add(x, w)  a = Mul(h, w)", "x1 = Add(x, w)  a = Mul(x1, w)"))
    with pytest.raises(HxError) as caught:
        model.extract("body")
    assert caught.value.code == "HX212"
    assert "'h'" in caught.value.message
    assert model.extract("tail").run({"input": X})["output"].tolist() == (-X).tolist()
    np.testing.assert_array_equal(model.extract(0).run({"x": X})["output"], -np.maximum((X + W) * W, 0))


def test_a_cut_that_would_take_in_the_neighbour_is_refused(transformed: Callable[[str], Hierarchy]) -> None:
    """`h` is there, but the body does not read it: it computes from the model's own input."""
    model = transformed(EXPORT.replace("a = Mul(h, w)", "x1 = Add(x, w)  a = Mul(x1, w)"))
    with pytest.raises(HxError) as caught:
        model.extract("body")
    assert caught.value.code == "HX212"
    assert "'x'" in caught.value.message


def test_an_input_that_is_read_no_more_is_refused(transformed: Callable[[str], Hierarchy]) -> None:
    model = transformed(
        EXPORT.replace("y = Neg(b)", "y = Expand(w, s)").replace(
            "<float[3] w = {1.0, 2.0, 3.0}>", "<float[3] w = {1.0, 2.0, 3.0}, int64[2] s = {2, 3}>"
        )
    )
    with pytest.raises(HxError) as caught:
        model.extract("tail")
    assert caught.value.code == "HX212"
    assert "'input'" in caught.value.message


def test_what_is_read_before_a_cast_is_the_same_value(transformed: Callable[[str], Hierarchy]) -> None:
    """A converter that keeps `b` in single precision lets the module behind read what is before the Cast."""
    text = HALF.replace("b = Relu(a)", "b0 = Relu(a)  b = Cast<to = 1>(b0)").replace("Neg(b)", "Neg(b0)")
    tail = transformed(text).extract("tail")
    assert [port.dtype for port in tail.inputs] == ["FLOAT"]
    np.testing.assert_array_equal(tail.run({"input": X})["output"], -X)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("x", "z", "'z'"),
        ("y", "z", "'z'"),
        ("h = Add(x, w)  a = Mul(h, w)  b = Relu(a)  y = Neg(b)", "y = Neg(x)", "same name"),
    ],
)
def test_a_model_of_another_export(transformed: Callable[[str], Hierarchy], old: str, new: str, said: str) -> None:
    with pytest.raises(HxError) as caught:
        transformed(EXPORT.replace(old, new) if len(old) > 1 else _renamed(old, new))
    assert caught.value.code == "HX211"
    assert said in caught.value.message
    assert "'model.onnx'" in caught.value.message


def _renamed(old: str, new: str) -> str:
    model = ir.from_onnx_text(EXPORT)
    values = (*model.graph.inputs, *model.graph.outputs)
    next(value for value in values if value.name == old).name = new
    return ir.to_onnx_text(model)


def test_the_sidecar_must_belong_to_the_export(
    transformed: Callable[[str], Hierarchy], export_by_hand: ExportByHand, tmp_path: Path
) -> None:
    path = transformed(HALF).path
    other = export_by_hand(tmp_path, EXPORT.replace("Neg", "Abs"), CALLS, name="abs").path
    other.with_name("abs_hierarchy.json").write_bytes((tmp_path / "model_hierarchy.json").read_bytes())
    with pytest.raises(HxError) as caught:
        load_transformed(path, other)
    assert caught.value.code == "HX203"
