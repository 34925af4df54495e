"""What tools leave of modules that run in the bodies of If and Loop, and whose time theirs is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn
from transforming import TRANSFORMATIONS

import hx

RUNTIME = TRANSFORMATIONS["ORT all"]


class Net(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.l, self.o, self.kind = nn.Linear(16, 16), nn.Linear(16, 16), kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "If":
            x = torch.cond(x.sum() > -1e9, lambda z: self.l(z).tanh(), lambda z: z + 1, (x,))
        else:
            loop = torch._higher_order_ops.while_loop
            x = loop(lambda i, _: i < 3, lambda i, z: (i + 1, self.l(z).tanh()), (torch.tensor(0), x))[1]
        return self.o(x)


@pytest.fixture(params=["If", "Loop"])
def exported(request, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    hx.export(Net(request.param).eval(), (torch.randn(4, 16),), f=tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_a_copy_keeps_every_call(exported: Path, tmp_path: Path) -> None:
    shutil.copy(exported, tmp_path / "t.onnx")
    hx.relink(tmp_path / "t.onnx", exported)
    before, after = hx.load(exported), hx.load(tmp_path / "t.onnx")
    assert [(call.tag, call.status) for call in after] == [(call.tag, call.status) for call in before]
    assert {call.status for call in after} == {"extractable"}
    assert [(n.output, n.owner, n.confidence) for n in after.sidecar.nodes] == [
        (n.output, n.owner, n.confidence) for n in before.sidecar.nodes
    ]
    assert not hx.extract(tmp_path / "t.onnx", "l", tmp_path / "l.onnx").failed


@pytest.mark.filterwarnings("ignore")
def test_what_is_fused_in_a_body_says_what_it_stands_for(exported: Path, tmp_path: Path) -> None:
    RUNTIME(exported, tmp_path / "t.onnx", {})
    hx.relink(tmp_path / "t.onnx", exported)
    sidecar = hx.load(tmp_path / "t.onnx").sidecar
    (fused,) = [node for node in sidecar.nodes if node.graph and node.op_type == "FusedGemm"]
    assert [sidecar.module_of(sidecar.calls[row]).fqn for row in fused.covers] == ["", "l"]
    assert all(name.startswith(f"{fused.graph}:") for name in fused.originals)
    assert len(fused.originals) == 2
    profile = hx.profile(exported, runs=2, warmup=0)
    root = profile.calls[0]
    assert root.spanning_us == sum(k.self_us for k in profile.kernels if k.op_type == "FusedGemm")
