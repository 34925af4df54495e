"""What an exporter merges of two modules is owned by the call around both, whoever looks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import hx
from hx_sidecar_schema import Sidecar


class Folded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pad, self.conv, self.bn, self.act = nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.bn(self.conv(self.pad(x))))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = Folded(), nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.a(x).mean((2, 3)))


def make() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    model = Net().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return model, (torch.randn(2, 3, 8, 8),)


def owners(sidecar: Sidecar, operator: str) -> set[str]:
    return {sidecar.module_of(sidecar.calls[n.owner]).fqn for n in sidecar.nodes if n.op_type == operator}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Constant folding")  # of the TorchScript exporter
@pytest.mark.parametrize("dynamo", [True, False])
def test_a_foreign_file_says_what_an_export_says(tmp_path: Path, dynamo: bool) -> None:
    model, inputs = make()
    own, foreign = tmp_path / "own.onnx", tmp_path / "foreign.onnx"
    hx.export(model, inputs, own, strategy="dynamo" if dynamo else "htp")
    torch.onnx.export(model, inputs, foreign, dynamo=dynamo, verbose=False)
    for against in (model, None):
        hx.project(foreign, against, inputs=inputs if against else None, overwrite=True)
        sidecar, exported = hx.load(foreign).sidecar, hx.load(own).sidecar
        assert owners(sidecar, "Conv") == owners(exported, "Conv") == {"a"}
        assert owners(sidecar, "Gemm") == owners(exported, "Gemm")
        statuses = {sidecar.module_of(call).fqn: call.status for call in sidecar.calls}
        assert (statuses["a"], statuses["a.conv"]) == ("extractable", "fused")
        assert statuses.get("a.bn", "fused") == "fused"  # TorchScript does not name it
        assert not hx.validate(foreign).findings
        assert not hx.extract(foreign, output=tmp_path / f"parts_{against is None}").failed
