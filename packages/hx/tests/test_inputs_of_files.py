"""What a file made elsewhere runs on: given inputs and shapes, and sizes of free axes that are found by trying."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import hx
from hx._file_inputs import with_inputs

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


# A linear layer of an input without dimensions.
FEATURES = f"""{HEAD} g (float[?,?] x) => (float[?,?] y) <float[13,1] w = {{1,1,1,1,1,1,1,1,1,1,1,1,1}}>
{{ ["/lin/MatMul"] p = MatMul(x, w)  ["/act/Relu"] y = Relu(p) }}"""
# Two inputs that share no symbol, the second is added to the first.
APART = f"""{HEAD} g (float[n,s] x, float[m,t] y) => (float[n,s] z)
{{ ["/a/Relu"] a = Relu(x)  ["/b/Add"] z = Add(a, y) }}"""


def written(text: str, path: Path) -> Path:
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def recorded(path: Path) -> dict[str, list[int]]:
    """Return the shapes of a model's examples."""
    return {info.name: info.example.shape for info in hx.load(path).sidecar.model.inputs if info.example is not None}


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (STRIDED, {"x": [2, 3, 32, 64]}),
        (CHANNELS, {"x": [2, 3, 8, 8]}),
        (WINDOWS, {"x": [2, 32], "mask": [2, 32]}),
        (CACHE, {"k": [2, 32], "x": [2, 64], "mask": [2, 96]}),
        (FEATURES, {"x": [2, 13]}),
    ],
)
def test_sizes_that_a_model_runs_on_are_found(text: str, shapes: dict[str, list[int]], tmp_path: Path) -> None:
    hx.project(written(text, tmp_path / "m.onnx"))
    assert recorded(tmp_path / "m.onnx") == shapes
    report = hx.extract(tmp_path / "m.onnx", output=tmp_path / "parts")
    assert not report.failed
    assert all(entry.max_abs_error is not None for entry in report.modules)


def test_sizes_follow_expressions_and_what_has_no_name_is_equal_at_equal_axes(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(CACHE)
    model.graph.input[2].type.tensor_type.shape.dim[1].dim_param = "past + new"
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].ClearField("dim_param")
    onnx.save(model, tmp_path / "m.onnx")
    hx.project(tmp_path / "m.onnx")
    assert recorded(tmp_path / "m.onnx") == {"k": [2, 32], "x": [2, 64], "mask": [2, 96]}


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
        ({"input_shapes": {"x": [1, 4, 32, 32]}}, "HX409"),
        ({"input_shapes": {"x": [None, 3, 33, None]}}, "HX207"),
        ({"inputs": {"x": np.ones((1, 3, 32, 32))}, "input_shapes": {"x": [1, 3, 32, 32]}}, "HX409"),
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
    assert not report.failed
    assert len(reasons) == 1
    assert next(iter(reasons)).startswith("Not compared: ")
    assert next(entry for entry in report.modules if entry.fqn == "a").max_abs_error == 0.0


def test_the_rest_of_what_is_partly_given_is_found(tmp_path: Path) -> None:
    path = written(STRIDED, tmp_path / "m.onnx")
    hx.project(path, input_shapes={"x": [None, 3, 96, None]})
    assert recorded(path) == {"x": [2, 3, 96, 32]}
    path = written(APART, tmp_path / "n.onnx")
    hx.project(path, inputs={"x": np.ones((3, 7))}, input_shapes={"y": [None, 7]})
    assert recorded(path) == {"x": [3, 7], "y": [3, 7]}


def test_what_runs_on_no_size_is_told_with_the_runtimes_reason(tmp_path: Path) -> None:
    (note,) = hx.project(written(NEVER, tmp_path / "m.onnx")).notes
    assert note.startswith("No inputs were found on which it runs. ONNX Runtime could not run the model: ")
    assert hx.project(written(STRIDED, tmp_path / "m.onnx"), overwrite=True).notes == []


def test_numbers_that_an_input_cannot_hold_are_refused(tmp_path: Path) -> None:
    text = f"{HEAD} g (int64[n] x) => (int64[n] y) {{ y = Add(x, x) }}"
    path = written(text, tmp_path / "m.onnx")
    hx.project(path, inputs={"x": np.array([1.0, 2.0])})
    with pytest.raises(hx.HxError, match="'x' takes INT64, and is given other numbers, as FLOAT64") as caught:
        hx.project(path, inputs={"x": np.array([0.5])}, overwrite=True)
    assert caught.value.code == "HX409"


@pytest.fixture
def tower(tmp_path: Path) -> Path:
    """A projected file that was run on other inputs than these."""
    path = written(WINDOWS, tmp_path / "m.onnx")
    hx.project(path)
    return path


def test_extract_compares_on_what_is_given_exactly(tower: Path, tmp_path: Path) -> None:
    x, mask = np.random.default_rng(0).random((2, 128, 160)).astype(np.float32)
    report = hx.extract(tower, output=tmp_path / "parts", inputs={"x": x, "mask": mask})
    assert all(entry.max_abs_error == 0.0 for entry in report.modules)
    assert recorded(tmp_path / "parts" / "split.onnx") == {"m": [128, 160]}
    hx.extract(tower, "mask", tmp_path / "one.onnx", input_shapes={"x": [4, 16]})
    assert recorded(tmp_path / "one.onnx") == {"x": [4, 16], "mask": [4, 16]}


def test_analyze_counts_for_what_is_given(tower: Path) -> None:
    for given in ({"inputs": {"x": np.ones((4, 16))}}, {"input_shapes": {"x": [4, 16]}}):
        cost = hx.analyze(tower, **given).cost
        assert cost is not None
        assert cost.input_shapes == {"x": [4, 16], "mask": [4, 16]}


def test_profile_runs_on_what_is_given(tower: Path) -> None:
    for given in ({"inputs": {"x": np.ones((3, 7))}}, {"input_shapes": {"x": [3, 7]}}):
        with pytest.raises(hx.HxError, match="cannot be reshaped") as caught:  # 21 elements are no rows of 16
            hx.profile(tower, runs=1, **given)
        assert caught.value.code == "HX207"
    assert hx.profile(tower, runs=1, warmup=0, input_shapes={"x": [3, 16]}).runs == 1


def test_recorded_numbers_are_repeated_to_another_size(tower: Path) -> None:
    model = hx.load(tower).with_inputs({"x": np.eye(4, dtype=np.float32)})
    x = with_inputs(model, shapes={"x": [2, 8]}).example_inputs()["x"]
    assert np.array_equal(x.ravel(), np.eye(4).ravel())


class Double(torch.nn.Module):
    """Its argument has another name than the file's input."""

    def forward(self, given: torch.Tensor, *, twice: bool = False) -> torch.Tensor:
        return given * (2.0 if twice else 1.0)


def test_verify_takes_names_of_either_model_and_shapes(tmp_path: Path) -> None:
    model, path = Double(), tmp_path / "m.onnx"
    options = {"input_names": ["x"], "kwargs": {"twice": True}, "dynamic_axes": {"x": {0: "rows"}}}
    hx.export(model, (torch.ones(2, 3),), path, **options)
    x = np.full((5, 3), 2.0, np.float32)
    for given in ({"inputs": {"x": x}}, {"input_shapes": {"x": [5, 3]}}, {"inputs": {"x": torch.tensor(x)}}):
        report = hx.verify(path, model, **given)
        assert (report.failed, report.compared) == (False, 1)
    with pytest.raises(hx.HxError, match="cannot have the shape") as caught:
        hx.verify(path, model, input_shapes={"x": [5, 4]})
    assert caught.value.code == "HX409"
    assert not hx.verify(path, model, inputs={"given": x, "twice": True}).failed
    with pytest.raises(hx.HxError) as caught:
        hx.verify(path, model, inputs={"given": x, "twice": True}, input_shapes={"x": [5, 3]})
    assert caught.value.code == "HX409"


def test_an_input_of_a_module_is_given_once(tmp_path: Path) -> None:
    for args in ((torch.ones(2, 3),), {"given": torch.ones(2, 3)}):
        with pytest.raises(hx.HxError, match=r"'given'.* are given twice") as caught:
            hx.export(Double(), args, input_shapes={"given": [4, 3]})
        assert (caught.value.code, caught.value.argument) == ("HX109", "input_shapes")
    with pytest.raises(hx.HxError, match="leave sizes open"):
        hx.export(Double(), input_shapes={"given": [4, None]})
