"""What a file made elsewhere runs on: given inputs and shapes, and sizes of free axes that are found by trying."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import hx

HEAD = '<ir_version: 8, opset_import: ["": 17]>'
# Sizes are halved five times and doubled again: what comes down and what goes up meet at multiples of 32 only.
STRIDED = f"""{HEAD} g (float[batch,3,height,width] x) => (float[b,c,h,w] y)
<float[1,3,2,2] w = {{1,1,1,1,1,1,1,1,1,1,1,1}}, float[4] up = {{1,1,32,32}}> {{
  ["/stem/Conv"] a = Conv<kernel_shape=[2,2], strides=[2,2]>(x, w)
  ["/pool1/MaxPool"] b1 = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)
  ["/pool2/MaxPool"] b2 = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b1)
  ["/pool3/MaxPool"] b3 = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b2)
  ["/pool4/MaxPool"] b4 = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b3)
  ["/up/Resize"] u = Resize<mode="nearest">(b4, , up)
  ["/cat/Concat"] y = Concat<axis=1>(x, u) }}"""
# Channels are free in the file and three in its weights.
CHANNELS = f"""{HEAD} g (float[n,c,h,w] x) => (float[n,1,a,b] y) <float[1,3,1,1] k = {{1,1,1}}>
{{ ["/conv/Conv"] p = Conv(x, k)  ["/act/Relu"] y = Relu(p) }}"""
# Windows of 16 steps.
WINDOWS = f"""{HEAD} g (float[b,t] x, float[b,t] mask) => (float[w,16] y) <int64[2] s = {{-1, 16}}>
{{ ["/mask/Mul"] m = Mul(x, mask)  ["/split/Reshape"] y = Reshape(m, s) }}"""
# A mask is as long as what is past and what is new.
CACHE = f"""{HEAD} g (float[b,past] k, float[b,new] x, float[b,total] mask) => (float[b,total] y)
{{ ["/cat/Concat"] p = Concat<axis=1>(k, x)  ["/add/Add"] y = Add(p, mask) }}"""
# Rows of 13 and of 17, which no size that is tried has.
NEVER = f"""{HEAD} g (float[b,t] x) => (float[u,13] y, float[v,17] o) <int64[2] r = {{-1, 13}}, int64[2] s = {{-1, 17}}>
{{ ["/a/Relu"] p = Relu(x)  ["/b/Reshape"] q = Reshape(p, r)  ["/c/Relu"] y = Relu(q)
   ["/d/Reshape"] v = Reshape(p, s)  ["/e/Relu"] o = Relu(v) }}"""


def written(text: str, path: Path) -> Path:
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def recorded(path: Path) -> dict[str, list[int]]:
    """Return the shapes of a model's examples."""
    return {info.name: info.example.shape for info in hx.load(path).sidecar.model.inputs if info.example is not None}


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (STRIDED, {"x": [2, 3, 32, 32]}),
        (CHANNELS, {"x": [2, 3, 8, 8]}),
        (WINDOWS, {"x": [2, 8], "mask": [2, 8]}),
        (CACHE, {"k": [2, 8], "x": [2, 8], "mask": [2, 16]}),
    ],
)
def test_sizes_that_a_model_runs_on_are_found(text: str, shapes: dict[str, list[int]], tmp_path: Path) -> None:
    hx.project(written(text, tmp_path / "m.onnx"))
    assert recorded(tmp_path / "m.onnx") == shapes
    report = hx.extract(tmp_path / "m.onnx", output=tmp_path / "parts")
    assert report.mismatches == 0
    assert all(entry.max_abs_error is not None for entry in report.modules)


def test_sizes_follow_expressions_and_what_has_no_name_is_equal_at_equal_axes(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(CACHE)
    model.graph.input[2].type.tensor_type.shape.dim[1].dim_param = "past + new"
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].ClearField("dim_param")
    onnx.save(model, tmp_path / "m.onnx")
    hx.project(tmp_path / "m.onnx")
    assert recorded(tmp_path / "m.onnx") == {"k": [2, 5], "x": [2, 8], "mask": [2, 13]}


def test_given_arrays_are_run_and_recorded(tmp_path: Path) -> None:
    path, image = written(STRIDED, tmp_path / "m.onnx"), np.random.default_rng(0).random((1, 3, 64, 32))
    np.savez(tmp_path / "in.npz", x=image)
    hx.project(path, inputs=tmp_path / "in.npz")
    assert np.array_equal(hx.load(path).example_inputs()["x"], image.astype(np.float32))


def test_a_given_shape_binds_its_symbols(tmp_path: Path) -> None:
    path = written(WINDOWS, tmp_path / "m.onnx")
    hx.project(path, input_shapes={"x": [3, 48]})
    assert recorded(path) == {"x": [3, 48], "mask": [3, 48]}


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"input_shapes": {"x": [1, 3, 33, 32]}}, "HX207"),
        ({"inputs": {"x": np.ones((1, 3, 33, 32))}}, "HX207"),
        ({"input_shapes": {"pixels": [1, 3, 32, 32]}}, "HX409"),
        ({"inputs": {"pixels": np.ones((1, 3, 32, 32))}}, "HX409"),
    ],
)
def test_what_is_given_and_does_not_fit_is_refused(settings: dict[str, object], code: str, tmp_path: Path) -> None:
    path = written(STRIDED, tmp_path / "m.onnx")
    with pytest.raises(hx.HxError) as caught:
        hx.project(path, **settings)
    assert caught.value.code == code


def test_what_runs_on_no_size_is_not_compared_for_one_reason(tmp_path: Path) -> None:
    path = written(NEVER, tmp_path / "m.onnx")
    hx.project(path)
    report = hx.extract(path, output=tmp_path / "parts")
    reasons = {entry.reason for entry in report.modules if entry.max_abs_error is None}
    assert report.mismatches == 0
    assert len(reasons) == 1
    assert next(iter(reasons)).startswith("Not compared: ")
    assert next(entry for entry in report.modules if entry.fqn == "a").max_abs_error == 0.0
