"""Bodies of files that were exported elsewhere, beside their PyTorch model: a branch that its run does not go into."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest
import torch
from torch import nn

import hx

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit and the TorchScript exporter


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) if x.sum() > 0 else self.b(x).tanh()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.g, self.o = Gate(), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.o(self.g(x))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_nodes_of_both_branches_belong_to_their_modules(tmp_path: Path, named: bool, sign: int) -> None:
    torch.manual_seed(0)
    model, inputs, path = Net().eval(), (sign * torch.ones(2, 4),), tmp_path / "m.onnx"
    torch.onnx.export(torch.jit.script(model), inputs, str(path), dynamo=False, input_names=["x"])  # pyright: ignore
    if not named:  # the weights are left
        graph = ir.load(path)
        for node in ir.traversal.RecursiveGraphIterator(graph.graph):
            node.name = None
        ir.save(graph, path)
    hx.project(path, model, inputs=inputs)
    sidecar = hx.load(path).sidecar
    owners = {
        (node.graph.rpartition(".")[2], sidecar.module_of(sidecar.calls[node.owner]).fqn)
        for node in sidecar.nodes
        if node.op_type == "Gemm"
    }
    assert owners == {("then_branch", "g.a"), ("else_branch", "g.b.0"), ("", "o")}
    statuses = {sidecar.module_of(call).fqn: (call.status, call.in_body) for call in sidecar.calls}
    for fqn, ran in (("g.a", sign > 0), ("g.b.0", sign < 0)):
        assert statuses[fqn] == ("extractable", not ran)
    report = hx.extract(path, output=tmp_path / "parts")
    assert not report.failed
    assert {"g.a", "g.b.0"} <= {entry.fqn for entry in report.modules if entry.file}


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.l = nn.Parameter(torch.tensor([3.0])), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() <= 1, lambda z: self.l(z) * self.w, lambda z: z / self.w, (x,))


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.w = Scaled(), nn.Parameter(torch.tensor([42.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda z: self.inner(z), lambda z: z - self.w, (x,))


@pytest.mark.parametrize("value", [0.1, 1.0, -1.0])
def test_nested_conditions_are_observed(tmp_path: Path, value: float) -> None:
    model, inputs, path = Nested().eval(), (torch.full((1, 4), value),), tmp_path / "m.onnx"
    torch.onnx.export(model, inputs, path, verbose=False)
    hx.project(path, model, inputs=inputs)
    sidecar = hx.load(path).sidecar
    owners = {node.op_type: sidecar.module_of(sidecar.calls[node.owner]).fqn for node in sidecar.nodes}
    assert (owners["Gemm"], owners["Div"], owners["Sub"]) == ("inner.l", "inner", "")
    assert {call.status for call in sidecar.calls} == {"extractable"}
    assert not hx.extract(path, output=tmp_path / "parts").failed
