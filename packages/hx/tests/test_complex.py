"""Complex numbers go through a graph as pairs of real ones: compared so, at the model's ends and between modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import hx


class Spectrum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfft(x)


class Weighted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(1.0, 6.0))

    def forward(self, f: torch.Tensor) -> torch.Tensor:
        return torch.complex(f.real * self.weight, f.imag * self.weight)


class Out(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spectrum, self.weighted = Spectrum(), Weighted()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        f = self.weighted(self.spectrum(x))
        return f.abs(), f


class In(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weighted = Weighted()

    def forward(self, f: torch.Tensor) -> torch.Tensor:
        return self.weighted(f).abs()


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (Out(), torch.arange(16.0).reshape(2, 8)),
        (In(), torch.complex(torch.ones(2, 5), torch.arange(10.0).reshape(2, 5))),
    ],
)
def test_complex_numbers_are_compared_as_pairs(module: nn.Module, x: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"

    def factory() -> tuple[nn.Module, tuple[torch.Tensor]]:
        return module, (x,)

    exported = hx.export(factory, f=path)
    assert exported.verification.status == "match"
    report = hx.extract(path, None, tmp_path / "parts", against=factory)
    assert not report.failed
    assert all(entry.relative_error is not None for entry in report.modules)
    for verified in (hx.verify(path, factory), hx.verify(exported)):
        assert not verified.failed
        assert verified.compared == len(exported)
    planted = type(module)()
    with torch.no_grad():
        planted.weighted.weight[0] = 2
    assert hx.verify(path, lambda: (planted, (x,))).culprit is not None
