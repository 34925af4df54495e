"""MACs of an exported model beside PyTorch's own flop counter, module by module."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from counting import counted
from torch import nn

import hx
from hx_tracer import example_inputs


class Vision(nn.Module):
    """What a small transformer lacks: grouped, strided, dilated and transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(4, 8, 3, stride=2, groups=2)
        self.holes = nn.Conv2d(8, 6, 3, dilation=2, bias=False)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2)
        self.line = nn.Conv1d(4, 5, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.line(self.up(self.holes(self.wide(image))).flatten(2))


def tiny_bert() -> tuple[nn.Module, dict[str, Any]]:
    module = hx.ModelSpec("tiny:bert").load().module
    return module, example_inputs(module).kwargs


@pytest.mark.parametrize("make", [tiny_bert, lambda: (Vision().eval(), {"image": torch.ones(2, 4, 19, 19)})])
def test_macs_are_those_of_pytorch_module_by_module(make):
    modules = counted(*make())
    assert {module.fqn: module.onnx for module in modules} == {module.fqn: module.pytorch for module in modules}
    assert modules[0].onnx > 0
