"""Sessions of models in memory and in files; what is raised without ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from hx_graph import WEIGHTS_IN_FILES, _session, infer_types, make_session, open_session, read_model, run_session
from hx_sidecar_schema import HxError

TEXT = """
<ir_version: 10, opset_import: ["": 20]>
m (float[3] x) => (float[3] y) <float[3] w = {1.0, 2.0, 3.0}, bfloat16[1] unused = {1}> { h = Mul(x, w)  y = Neg(h) }
"""
X = np.array([1, 2, 3], np.float32)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("external", ["mapped", "read", "none"])
def test_weights_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool, external: str) -> None:
    model = ir.from_onnx_text(TEXT)
    if beside:
        monkeypatch.setattr(_session, "PROTOBUF_BYTES", 0)
        monkeypatch.setattr(_session, "INLINE_BYTES", 0)
    if external != "none":
        ir.save(model, tmp_path / "m.onnx", external_data="w.bin", size_threshold_bytes=0)
        model = read_model(tmp_path / "m.onnx")
    before = {name: value.const_value for name, value in model.graph.initializers.items()}
    made = make_session(model, tmp_path if external == "mapped" else None)
    np.testing.assert_array_equal(run_session(made, {"x": X})["y"], [-1, -4, -9])
    assert {name: value.const_value for name, value in model.graph.initializers.items()} == before


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told in /proc")
def test_weights_that_stay_in_files(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(4000, 4000)).astype(np.float32)
    text = '<ir_version: 10, opset_import: ["": 20]> m (float[2,4000] x) => (float[2,4000] y) <float[1] w = {1}> { y = MatMul(x, w) }'
    model = ir.from_onnx_text(text)
    w = model.graph.initializers["w"]
    w.const_value, w.shape = ir.Tensor(weight, name="w"), ir.Shape(weight.shape)
    ir.save(model, tmp_path / "m.onnx", external_data="w.bin")
    x = np.ones((2, 4000), np.float32)
    found: list[np.ndarray] = []
    grown: list[int] = []
    for options in ({}, WEIGHTS_IN_FILES):
        before = _anonymous_bytes()
        made = make_session(read_model(tmp_path / "m.onnx"), tmp_path, **options)
        found.append(run_session(made, {"x": x})["y"])
        grown.append(_anonymous_bytes() - before)
        del made
    assert grown[0] > 0.9 * weight.nbytes  # ONNX Runtime's own copy; else there is nothing to prevent any more
    assert grown[1] < 0.1 * weight.nbytes
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))


def test_a_file(tmp_path: Path) -> None:
    ir.save(ir.from_onnx_text(TEXT), tmp_path / "m.onnx")
    for source in (tmp_path / "m.onnx", (tmp_path / "m.onnx").read_bytes()):
        made = open_session(source, intra_op_num_threads=1)
        np.testing.assert_array_equal(run_session(made, {"x": X})["y"], [-1, -4, -9])


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_bfloat16_comes_back(shape: tuple[int, ...]) -> None:
    dims = ",".join(map(str, shape))
    text = (
        f'<ir_version: 10, opset_import: ["": 20]> m (float[{dims}] x) => (bfloat16[{dims}] y) {{ y = Cast<to=16>(x) }}'
    )
    found = run_session(make_session(ir.from_onnx_text(text), None), {"x": np.full(shape, 1.5, np.float32)})["y"]
    assert ir.DataType.from_numpy(found.dtype) == ir.DataType.BFLOAT16
    np.testing.assert_array_equal(found.astype(np.float32), np.full(shape, 1.5))


@pytest.mark.parametrize("feeds", [{}, {"z": X}, {"x": X.astype(np.int64)}])
def test_inputs_that_do_not_fit(feeds: dict[str, np.ndarray]) -> None:
    with pytest.raises(HxError) as caught:
        run_session(make_session(ir.from_onnx_text(TEXT), None), feeds)
    assert caught.value.code == "HX207"
    assert "\n" not in caught.value.message


def test_a_model_that_is_refused() -> None:
    with pytest.raises(HxError, match="refuses") as caught:
        make_session(ir.from_onnx_text(TEXT.replace("Neg", "Nego")), None)
    assert caught.value.code == "HX207"


def test_without_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(HxError) as caught:
        make_session(ir.from_onnx_text(TEXT), None)
    assert (caught.value.code, "pip install onnxruntime" in caught.value.hint) == ("HX209", True)


def test_types_are_inferred() -> None:
    model = ir.from_onnx_text(TEXT)
    infer_types(model)
    (h, y) = (node.outputs[0] for node in model.graph)
    assert (h.dtype, list(h.shape or ()), y.dtype) == (ir.DataType.FLOAT, [3], ir.DataType.FLOAT)
    assert list(model.graph.initializers) == ["w", "unused"]


def test_numbers_keep_their_rank() -> None:
    model = ir.from_onnx_text('<ir_version: 10, opset_import: ["": 20]> main (float x) => (float y) { y = Neg(x) }')
    assert run_session(make_session(model, None), {"x": np.array(2, np.float32)})["y"].shape == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<int64[2] r = {-1, 4}> { ["/split"] y = Reshape(x, r) }', "Reshape '/split': The input tensor cannot be "),
        ("<float[3,5] w = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}> { y = Add(x, w) }", "Add: Attempting to broadcast an axis"),
        ("<float[5] w = {1,1,1,1,1}> { y = MatMul(x, w) }", "MatMul: MatMul dimension mismatch"),
    ],
)
def test_a_refusal_names_the_node_and_the_reason_alone(body: str, said: str) -> None:
    head = '<ir_version: 10, opset_import: ["": 20]> g (float[a,b] x) => (float[] y)'
    session = make_session(ir.from_onnx_text(f"{head} {body}"), None)
    with pytest.raises(HxError) as caught:
        run_session(session, {"x": np.ones((2, 3), np.float32)})
    assert caught.value.message.startswith(f"ONNX Runtime could not run the model: {said}")
    assert ".h:" not in caught.value.message


def test_what_the_runtime_hands_out_of_float8_can_be_given_back() -> None:
    text = "m (float[2] x) => (float8e4m3fn[2] y) { y = Cast<to=17>(x) }"
    back = "m (float8e4m3fn[2] y) => (float[2] z) { z = Cast<to=1>(y) }"
    feeds = {"x": np.array([1.5, -3.0], np.float32)}
    for body in (text, back):
        model = ir.from_onnx_text(f'<ir_version: 10, opset_import: ["": 20]> {body}')
        feeds = run_session(make_session(model, None), feeds)
    assert feeds["z"].tolist() == [1.5, -3.0]
