"""The files of an export, and what is left where writing them is stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

import hx


def test_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(text: str, done: int, total: int) -> None:
        if text == "Comparing the outputs with PyTorch":
            (staging,) = tmp_path.iterdir()
            assert (staging / "files" / "linear.onnx").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hx.export(nn.Linear(4, 3), (torch.ones(2, 4),), tmp_path / "linear.onnx", progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_large_weights_have_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hx._export.exported.EXTERNAL_DATA_BYTES", 100)
    wide, path = nn.Sequential(nn.Linear(4, 500), nn.Linear(500, 2)).eval(), tmp_path / "wide.onnx"
    hx.export(wide, (torch.ones(3, 4),), path)
    data = tmp_path / "wide.onnx.data"
    assert data.exists()
    with pytest.raises(hx.HxError) as caught:
        hx.extract(path, "0", tmp_path / "cut" / "part.onnx", weights="share")
    assert caught.value.code == "HX210"
    size = data.stat().st_size
    hx.extract(path, "0", tmp_path / "part.onnx", weights="share")
    assert data.stat().st_size == size
    session = ort.InferenceSession(tmp_path / "part.onnx", providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"input": np.ones((3, 4), np.float32)})
    assert np.isfinite(output).all()
    (tmp_path / "part.onnx").unlink()  # its weights are the model's, and go with them
    monkeypatch.undo()
    hx.export(wide, (torch.ones(3, 4),), path, overwrite=True)
    assert not data.exists()


def test_inputs_in_memory_are_exact(tmp_path: Path) -> None:
    """A file keeps the range of large ones."""
    x = torch.randn(200, 100)
    exported = hx.export(nn.Linear(100, 3), (x,), tmp_path / "linear.onnx", verify=False)
    assert np.array_equal(exported.example_inputs()["input"], x.numpy())
    drawn = hx.load(tmp_path / "linear.onnx").example_inputs()["input"]
    assert drawn.shape == x.shape
    assert not np.array_equal(drawn, x.numpy())
    half = hx.export(nn.Linear(4, 3).bfloat16(), (torch.ones(2, 4),), verify=False)
    assert half.example_inputs()["input"].dtype.name == "bfloat16"


def test_saving_changes_nothing_in_memory(tmp_path: Path) -> None:
    exported = hx.export(torch.nn.Linear(4, 3).eval(), (torch.ones(2, 4),), verify=False)
    before = exported.save(tmp_path / "a.onnx"), (tmp_path / "a.onnx").read_bytes()
    exported.save(tmp_path / "b.onnx", embed=True, metadata=False)
    assert (tmp_path / "b.onnx").read_bytes() != before[1]
    exported.save(tmp_path / "a.onnx", overwrite=True)
    assert (tmp_path / "a.onnx").read_bytes() == before[1]
