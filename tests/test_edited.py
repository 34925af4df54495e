"""The sidecar of an edited model: where nothing was edited, it is the sidecar that was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hx
from hx_surgery import edited_sidecar


class Recurrent(nn.Module):
    """The exporter removes the values between the two: their transposes cancel."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)
        self.lstm = nn.LSTM(6, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(self.gru(x)[0])[0]


class Folded(nn.Module):
    """Of two reshapes one is left; the sizes that they take are in the graph no more."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.view(-1, 8)).view(x.shape)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        ("tiny:bert", ()),
        (Recurrent(), (torch.randn(2, 3, 4),)),
        (nn.Sequential(Folded(), Folded()), (torch.randn(2, 6, 8),)),
    ],
    ids=["bert", "recurrent", "folded"],
)
def test_a_model_that_was_not_edited_keeps_its_calls(
    module: nn.Module | str, inputs: tuple[torch.Tensor, ...], dynamic: bool
) -> None:
    export = hx.export(module, inputs, dynamic=dynamic)
    edited = edited_sidecar(export.model, export.sidecar, file=export.sidecar.model.file)
    for was, now in zip(export.sidecar.calls, edited.calls, strict=True):
        assert now == was
    assert edited.sizes == export.sidecar.sizes
