"""What single precision explains is no error, and what it does not explain is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import hx


class Waves(nn.Module):
    """Sines of large arguments."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        angles = t[:, None].float() * torch.exp(torch.arange(0, 64, dtype=torch.float32) / -7)[None] * self.scale
        return torch.cat([angles.sin(), angles.cos()], -1)


class InPlace(Waves):
    def forward(self, t: torch.Tensor) -> torch.Tensor:
        angles = torch.zeros(len(t), 64)
        angles.add_(t[:, None]).mul_(torch.linspace(0.1, self.scale, 64))
        return angles.sin_()


class Centred(nn.Module):
    """Its numbers cancel: what is left is rounding."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(-1, keepdim=True)).mean(-1) * self.gain


class Net(nn.Module):
    def __init__(self, inner: nn.Module, width: int) -> None:
        super().__init__()
        self.inner, self.head = inner, nn.Sequential(nn.Linear(width, 64), nn.Linear(64, 64))
        self.last = Centred()

    def forward(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.head(self.inner(t * 1000))
        return y, self.last(y.tanh())


MODELS = {"out of place": (Waves(), 128), "in place": (InPlace(), 64), "beyond a thousandth": (Waves(100.0), 128)}


@pytest.fixture(params=MODELS)
def exported(request) -> hx.Export:
    torch.manual_seed(0)
    return hx.export(Net(*MODELS[request.param]).eval(), (torch.tensor([0.981, 0.5, 0.25]),))


def test_rounding_is_no_error(exported: hx.Export, tmp_path: Path) -> None:
    assert exported.report.verification is not None
    assert exported.report.verification.status == "match"
    report = hx.verify(exported)
    assert not report.failed
    assert [call.fqn for call in report.calls if call.wrong] == []
    waves = next(call for call in report.calls if call.fqn == "inner")
    assert waves.local is not None
    assert (waves.local.relative_error or 0) > 1e-5
    assert waves.limit == pytest.approx(10 * (waves.rounding or 0))
    parts = hx.extract(exported, output=tmp_path / "parts", against=exported.module)
    assert not parts.failed


@pytest.mark.parametrize("scale", [1.00001, 1.001])
def test_what_it_does_not_explain_is_an_error(scale: float) -> None:
    torch.manual_seed(0)
    model = Net(Waves(), 128).eval()
    exported = hx.export(model, (torch.tensor([0.981, 0.5]),))
    assert isinstance(model.inner, Waves)
    model.inner.scale = scale
    report = hx.verify(exported, model)
    assert report.culprit is not None
    assert report.calls[report.culprit].fqn == "inner"


def test_a_number_where_all_should_cancel_is_an_error() -> None:
    torch.manual_seed(0)
    model = Net(Waves(), 128).eval()
    model.last.gain = 1e4
    exported = hx.export(model, (torch.tensor([0.981, 0.5]),))
    model.last.gain = 1.0
    report = hx.verify(exported, model)
    assert report.culprit is not None
    assert report.calls[report.culprit].fqn == "last"


def test_random_numbers_and_training_are_left_as_they_are() -> None:
    """The run in double precision writes no statistics, and random numbers are no rounding."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 4)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    from hx._tensors import own_rounding

    found = own_rounding(model, (torch.randn(3, 4),), {}, {("0", 0), ("1", 0), ("2", 0), ("3", 0)})
    assert 0 < found["0", 0] < 1e-6
    assert all(error < 1e-5 for error in found.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.noise, self.last = nn.Linear(4, 4), Noise(), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.noise(self.first(x)))


class Noise(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x)


def test_random_numbers_are_not_compared(tmp_path: Path) -> None:
    """Neither are what draws them, nor in a run of the whole model what derives from them."""
    torch.manual_seed(0)
    exported = hx.export(Noisy().eval(), (torch.randn(2, 4),))
    assert exported.report.verification is not None
    assert exported.report.verification.status == "not_checked"
    report = hx.verify(exported)
    assert not report.failed
    assert {call.fqn: (call.local is not None, call.accumulated is not None) for call in report.calls} == {
        "": (False, False),
        "first": (True, True),
        "noise": (False, False),
        "last": (True, False),
    }
    assert "RandomNormalLike" in report.calls[0].reason
    parts = hx.extract(exported, output=tmp_path / "parts", against=exported.module)
    assert [(entry.fqn, entry.max_abs_error is None) for entry in parts.modules] == [
        ("", True),
        ("first", False),
        ("noise", True),
        ("last", False),
    ]
    assert not parts.failed


COUNTS: dict[str, int] = {}
"""What is global is not put back."""


def test_a_module_that_returns_other_values_in_every_run_is_not_compared() -> None:
    class Counting(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            COUNTS["runs"] = COUNTS.get("runs", 0) + 1
            return super().forward(x) * COUNTS["runs"]

    verification = hx.export(Counting(4, 4).eval(), (torch.ones(2, 4),)).verification
    assert verification.status == "not_checked"
    assert "every run" in verification.reason
