"""What comparing calls holds in memory at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hx
from hx._verify import measure as _measure
from hx._verify.inputs import recorded_inputs


class Gated(nn.Module):
    """Reads what its parent left, beside its argument."""

    def __init__(self, box: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.box, self.linear = box, nn.Linear(4, 4)
        self.shift = nn.Parameter(torch.randn(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.box["gate"] + self.shift


class Stash(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.box: dict[str, torch.Tensor] = {}
        self.gate, self.first, self.second = nn.Linear(4, 4), Gated(self.box), Gated(self.box)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.box["gate"] = self.gate(x)
        return self.second(self.first(x))


@pytest.mark.parametrize("memory", [500, 1000, 2000, 10**6])
def test_what_is_held_stays_within_it(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hx.export(Stash().eval(), (torch.randn(3, 4),), verify=False)
    inputs = recorded_inputs(model.loaded, model.sidecar, model.example_inputs())
    runs: list[object] = []
    original = _measure.run_module
    monkeypatch.setattr(_measure, "run_module", lambda *args: runs.append(args) or original(*args))
    measurement = _measure.Measurement(model, model.loaded, inputs, memory)
    for rows in measurement.batches:
        measurement.fetch(rows)
        arrays = list(measurement.values.values())
        for boundary in measurement.boundaries.values():
            arrays += [*boundary.inputs.values(), *boundary.outputs.values()]
        assert sum(array.nbytes for array in arrays) <= memory or len(rows) == 1
    assert len(runs) == len(measurement.batches) + 1  # one run to see the sizes
    extractable = [call.row for call in model.calls(status="extractable")]
    assert [row for rows in measurement.batches for row in rows] == extractable
