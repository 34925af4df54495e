"""Parts say of the calls inside them what is so there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hx
from hx_extractor import Extraction
from hx_sidecar_schema import MissingKernel


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
    assert not hx.extract(tmp_path / "x.onnx", "middle", tmp_path / "middle.onnx").failed
    report = hx.validate(tmp_path / "middle.onnx")
    assert report.valid, str(report)
    inner = hx.load(tmp_path / "middle.onnx").sidecar.calls[1]
    assert inner.status == status
    assert [port.unused for port in inner.inputs] == [False, not ready]


class HandsOn(nn.Module):
    """What it adds and hands on is gone: the exporter sees that it is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.act = nn.BatchNorm2d(2), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(0 + self.norm(x))


class Difference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = HandsOn(), HandsOn()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        return x + 2 * (self.first(x) + self.conv(x) - self.second(x))


def test_a_value_that_was_removed_and_handed_on_is_no_port(tmp_path: Path) -> None:
    hx.export(Difference().eval(), (torch.randn(1, 2, 6, 6),)).save(tmp_path / "x.onnx")
    report = hx.validate(tmp_path / "x.onnx")
    assert report.valid, str(report)


class Padded(nn.Module):
    """The exporter makes one node of the padding and the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(nn.functional.pad(x, (0, 1, 0, 1)))


class Twice(nn.Module):
    """The exporter makes one of two equal calls."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(5, 5), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x) * 2 - self.embed(x)


@pytest.mark.parametrize("inner", [Padded, Twice])
def test_a_model_and_all_its_parts_are_valid(tmp_path: Path, inner: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Tanh(), inner()).eval()
    hx.export(model, (torch.randn(2, 3, 5, 5),), tmp_path / "m.onnx", dynamic_shapes=({0: "batch"},))
    assert not hx.validate(tmp_path / "m.onnx").findings
    assert not hx.extract(tmp_path / "m.onnx", output=tmp_path / "parts").failed
    parts = sorted((tmp_path / "parts").glob("*.onnx"))
    assert len(parts) >= 3
    assert {part.name: hx.validate(part).findings for part in parts} == {part.name: [] for part in parts}


def test_what_the_runtime_has_no_kernel_for_is_not_checked(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).bfloat16().eval()
    hx.export(model, (torch.ones(2, 4, dtype=torch.bfloat16),), tmp_path / "x.onnx")
    report = hx.validate(tmp_path / "x.onnx")
    assert report.valid, str(report)
    assert "no kernel" in report.skipped["ONNX Runtime"]


@pytest.mark.parametrize("against", [False, True])
def test_parts_without_a_kernel_are_written_and_not_compared(tmp_path: Path, against: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)).bfloat16().eval()  # it has one for LayerNorm
    hx.export(model, (torch.ones(2, 4, dtype=torch.bfloat16),), tmp_path / "x.onnx")
    report = hx.extract(tmp_path / "x.onnx", output=tmp_path / "parts", against=model if against else None)
    assert not report.failed
    said = "pytorch: 1 of 3 equal, 2 not compared" if against else "none of them compared"
    assert str(report).endswith(said)
    linear = next(entry for entry in report.modules if entry.fqn == "0")
    assert linear.relative_error is None
    assert "no kernel" in linear.reason
    assert hx.validate(tmp_path / "parts" / str(linear.file)).valid


def test_where_no_call_has_a_kernel_the_hint_says_what_to_convert() -> None:
    exported = hx.export(nn.Linear(4, 3).bfloat16().eval(), (torch.ones(2, 4, dtype=torch.bfloat16),))
    with pytest.raises(hx.HxError, match="no kernel") as caught:
        hx.verify(exported)
    assert "float32" in caught.value.hint


def test_a_part_without_a_kernel_fails_where_the_model_has_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part reads and computes what the model does: what runs there must run here."""
    hx.export(nn.Sequential(nn.Linear(4, 3)), (torch.ones(2, 4),), tmp_path / "x.onnx")

    def lacks(self: Extraction, **options: Any) -> Any:
        raise MissingKernel("ONNX Runtime has no kernel for it.", hint="")

    monkeypatch.setattr(Extraction, "session", lacks)
    report = hx.extract(tmp_path / "x.onnx", output=tmp_path / "parts")
    assert (report.mismatches, report.refused) == (0, len(report.modules)) == (0, 2)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        gate, value = x.chunk(2, -1)
        return self.act(gate) * value


def test_a_sequence_that_the_exporter_optimised_away_is_computed_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The exporter splits into a sequence first: nothing says of what type."""
    exported = hx.export(Gated(), (torch.ones(2, 4),))
    assert "UNDEFINED" in {dtype for node in exported.sidecar.recovered for dtype in node.dtypes}
    caplog.clear()
    report = hx.extract(exported, output=tmp_path / "parts")
    assert str(report).endswith("all equal")
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


class OfTokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)

    def forward(self, tokens: Tensor, x: Tensor) -> Tensor:
        return self.norm(tokens) + x


class WithTokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.inner = nn.Parameter(torch.randn(3, 4)), OfTokens()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.tokens.tanh(), x)


def test_what_is_made_of_weights_alone_a_part_may_get_as_an_input(tmp_path: Path) -> None:
    exported = hx.export(WithTokens().eval(), (torch.randn(3, 4),), tmp_path / "m.onnx")
    assert exported["inner.norm"].status == "folded"
    exported["inner"].extract().save(tmp_path / "inner.onnx")
    assert hx.validate(tmp_path / "inner.onnx").findings == []
