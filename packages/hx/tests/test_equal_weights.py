"""Weights of a fresh model are equal, and exporters merge them: whose nodes read them says nothing of the module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import hx


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(6, 6), nn.LayerNorm(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.fc(x)).relu()


def blocks() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(Block(), Block(), Block()).eval(), torch.randn(2, 6)


@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
def test_merged_weights_disagree_with_nothing(strategy: str) -> None:
    module, x = blocks()
    exported = hx.export(module, (x,), strategy=strategy)
    assert [row for row in exported.sidecar.disagreements if "parameter" in (row.evidence, row.against)] == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the TorchScript exporter, of itself
def test_a_file_in_which_weights_are_handed_on(tmp_path: Path) -> None:
    module, x = blocks()
    torch.onnx.export(module, (x,), str(tmp_path / "m.onnx"), dynamo=False, opset_version=17)
    hx.project(tmp_path / "m.onnx")
    sidecar = hx.load(tmp_path / "m.onnx").sidecar
    handed_on = [node for node in sidecar.nodes if node.op_type == "Identity"]
    assert handed_on
    for node in handed_on:
        assert sidecar.module_of(sidecar.calls[node.owner]).fqn == node.output.rpartition(".")[0]
