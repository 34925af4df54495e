"""Parts say of the calls inside them what is so there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import hx


class Inner(nn.Module):
    def __init__(self, ready: bool) -> None:
        super().__init__()
        self.ready = ready

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x.softmax(-1) + (mask if self.ready else mask[None])


class Middle(nn.Module):
    def __init__(self, ready: bool) -> None:
        super().__init__()
        self.inner = Inner(ready)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.inner(x.sin(), mask[None] if self.inner.ready else mask.to(x.dtype)).cos()


class Outer(nn.Module):
    def __init__(self, ready: bool) -> None:
        super().__init__()
        self.middle = Middle(ready)
        self.register_buffer("mask", torch.randn(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.middle(x, self.mask)


@pytest.mark.parametrize(("ready", "status"), [(True, "extractable"), (False, "fused")])
def test_what_the_whole_model_folded_is_computed_in_a_part(ready: bool, status: str, tmp_path: Path) -> None:
    """There it derives from an argument: a call inside takes it, or cannot be cut out by the arguments that it had."""
    hx.export(Outer(ready), (torch.randn(2, 3, 4),)).save(tmp_path / "x.onnx")
    assert hx.extract(tmp_path / "x.onnx", "middle", tmp_path / "middle.onnx").mismatches == 0
    report = hx.validate(tmp_path / "middle.onnx")
    assert report.valid, str(report)
    inner = hx.load(tmp_path / "middle.onnx").sidecar.calls[1]
    assert inner.status == status
    assert [port.unused for port in inner.inputs] == [False, not ready]
