"""What quantisers make of a model: relinked, valid, compared by what ports mean, and cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from torch import nn

import hx


class Text(nn.Module):
    """Its embedding is quantised as it is: the next layer reads integers."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.mid, self.out = nn.Embedding(12, 8), nn.Linear(8, 8), nn.Linear(8, 12)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(self.mid(self.emb(ids)).relu())


class Biased(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return self.fc(x) + bias.sigmoid()


class Shared(nn.Module):
    """What both blocks compute of the input, the first alone does in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Biased(), Biased()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x, x), x)


def shared() -> tuple[nn.Module, torch.Tensor]:
    return Shared(), torch.randn(2, 8)


def text() -> tuple[nn.Module, torch.Tensor]:
    return Text(), torch.tensor([[1, 2, 3]])


def image() -> tuple[nn.Module, torch.Tensor]:
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)
    return nn.Sequential(*layers), torch.randn(1, 3, 12, 12)


def dynamic(source: Path, target: Path, feeds: dict[str, Any]) -> None:
    quantize_dynamic(source, target, weight_type=QuantType.QInt8)


def static(form: QuantFormat) -> Callable[[Path, Path, dict[str, Any]], None]:
    def quantise(source: Path, target: Path, feeds: dict[str, Any]) -> None:
        class Reader(CalibrationDataReader):
            def __init__(self) -> None:
                self._left = [feeds]

            def get_next(self) -> dict[str, Any] | None:
                return self._left.pop() if self._left else None

        quantize_static(source, target, Reader(), quant_format=form, weight_type=QuantType.QInt8)

    return quantise


TOOLS = {"dynamic": dynamic, "QDQ": static(QuantFormat.QDQ), "operators": static(QuantFormat.QOperator)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
@pytest.mark.parametrize("make", [text, image, shared], ids=lambda f: f.__name__)
@pytest.mark.parametrize("tool", TOOLS)
def test_every_command_takes_it(tmp_path: Path, tool: str, make: Callable[[], Any], strategy: str) -> None:
    torch.manual_seed(0)
    module, example = make()
    module.eval()
    source, target = tmp_path / "m.onnx", tmp_path / "t.onnx"
    exported = hx.export(module, (example,), f=source, strategy=strategy)
    TOOLS[tool](source, target, exported.example_inputs())
    relinked = hx.relink(target, source)
    assert relinked
    assert hx.validate(target).findings == []
    assert not hx.extract(target, None, tmp_path / "parts").failed
    report = hx.verify(target, module)
    assert report.culprit is None
    for call in report.calls:
        integers = any(port.dtype in ("UINT8", "INT8") for port in hx.load(target)[call.tag].outputs)
        if call.status == "extractable":
            assert (call.local is None) == ("quantised" in call.reason), call.reason
            assert call.accumulated is None or not integers
