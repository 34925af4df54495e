"""MACs of an exported model beside PyTorch's own flop counter, module by module."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hx_projector import call_costs, model_cost, project
from hx_tracer import example_inputs, export, load_model


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


def tiny_bert() -> tuple[nn.Module, dict[str, object]]:
    loaded = load_model("tiny:bert")
    return loaded.module, dict(example_inputs(loaded.module, example=loaded.example).kwargs)


@pytest.mark.parametrize("make", [tiny_bert, lambda: (Vision().eval(), {"image": torch.ones(2, 4, 19, 19)})])
def test_macs_are_those_of_pytorch_module_by_module(make):
    module, inputs = make()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(**inputs)
    root = type(module).__name__
    flops = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    exported = export(module, inputs)
    sidecar = project(exported.program.model, exported.context, file="model.onnx")
    costs = call_costs(sidecar, model_cost(exported.program.model, {}, {}))
    names = [sidecar.module_of(call).fqn for call in sidecar.calls]
    counted = {name: cost.total.macs for name, cost in zip(names, costs, strict=True)}
    expected = {name: flops.get(f"{root}.{name}" if name else root, 0) / 2 for name in names}
    assert counted == expected
    assert counted[""] > 0
