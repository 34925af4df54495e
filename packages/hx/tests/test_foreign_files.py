"""What converters write, and hx takes."""

from __future__ import annotations

from pathlib import Path

import onnx

import hx


def test_minus_one_is_an_unknown_size(tmp_path: Path) -> None:
    """As Paddle's converter writes it."""
    text = """<ir_version: 8, opset_import: ["": 17]> main (float[N,3] x) => (float[N,3] y)
      { h = Sin(x)  y = Cos(h) }"""
    model = onnx.parser.parse_model(text)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = -1
    onnx.save(model, tmp_path / "x.onnx")
    hx.project(tmp_path / "x.onnx")
    assert hx.load(tmp_path / "x.onnx").sidecar.calls[0].inputs[0].shape == ["?", 3]
    assert not hx.extract(tmp_path / "x.onnx", output=tmp_path / "parts").failed
    assert hx.profile(tmp_path / "x.onnx", runs=1, warmup=0).runs == 1
