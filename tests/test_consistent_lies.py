"""Lies that keep a sidecar consistent: validation finds them, or it is said here why nothing in the files tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
import torch
from lying import found, lies
from torch import nn

import hx
from hx_sidecar_schema import Sidecar

Made = tuple[nn.Module, tuple[torch.Tensor, ...]]


class Merge(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.dense, self.norm = nn.Linear(size, size), nn.LayerNorm(size)

    def forward(self, hidden: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return self.norm(self.dense(hidden) + residual)


class Gates(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = torch.tanh(self.a(x)) * y
        return z, self.b(z).sigmoid() + x


class Heads(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], x.shape[1], 2, -1).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(size, size) for _ in range(3))
        self.heads = Heads()

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(self.q(x)), self.heads(self.k(x)), self.heads(self.v(x))
        weights = (q @ k.transpose(-1, -2) + mask).softmax(-1)
        return (weights @ v).transpose(1, 2).reshape(x.shape)


class Text(nn.Module):
    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.emb, self.head = nn.Embedding(11, size), nn.Linear(size, 11)
        self.attn = nn.ModuleList(Attention(size) for _ in range(2))
        self.out = nn.ModuleList(Merge(size) for _ in range(2))
        self.gates = nn.ModuleList(Gates(size) for _ in range(2))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = y = self.emb(ids)
        for attn, out, gates in zip(self.attn, self.out, self.gates, strict=True):
            x, y = gates(out(attn(x, mask), x), y)
        return self.head(x), y


class Block(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.c1, self.c2 = (nn.Conv2d(size, size, 3, padding=1) for _ in range(2))
        self.bn, self.act = nn.BatchNorm2d(size), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.c2(self.act(self.bn(self.c1(x)))) + x)


class Fuse(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.up, self.side = nn.Conv2d(size, size, 1), nn.Conv2d(size, size, 1)

    def forward(self, top: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
        return self.up(top).sigmoid() * self.side(side)


class Cnn(nn.Module):
    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, size, 3, padding=1), nn.Sequential(Block(size), Block(size))
        self.first, self.second = Fuse(size), Fuse(size)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(size, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a = self.stem(x)
        b = self.blocks(a)
        d = self.second(self.first(b, a), b)
        return self.head(self.pool(d).flatten(1)), d


class Recurrent(nn.Module):
    def __init__(self, size: int = 6) -> None:
        super().__init__()
        self.emb, self.head, self.cell = nn.Embedding(11, size), nn.Linear(size, 3), nn.GRUCell(size, size)
        self.enc, self.dec = (nn.LSTM(size, size, batch_first=True) for _ in range(2))

    def forward(self, ids: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encoded, state = self.enc(self.emb(ids))
        decoded, (h, c) = self.dec(encoded, state)
        for step in range(2):
            z = self.cell(decoded[:, step], z)
        return self.head(z), h, c


class Bodies(nn.Module):
    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.pre, self.merge = nn.Linear(size, size), Merge(size)
        self.g1, self.g2 = Gates(size), Gates(size)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.pre(x)

        def first(u: torch.Tensor, v: torch.Tensor) -> Any:
            return self.g1(u, v)

        def second(u: torch.Tensor, v: torch.Tensor) -> Any:
            return self.g2(u, v)

        a, b = torch.cond(x.sum() > 0, first, second, (x, y))
        return self.merge(a, b), b


IDS = torch.arange(10).reshape(2, 5)
MODELS: dict[str, Callable[[], Made]] = {
    "text": lambda: (Text(), (IDS, torch.zeros(2, 1, 5, 5))),
    "cnn": lambda: (Cnn(), (torch.randn(2, 3, 8, 8),)),
    "recurrent": lambda: (Recurrent(), (IDS, torch.randn(2, 6))),
    "bodies": lambda: (Bodies(), (torch.randn(2, 4), torch.randn(2, 4))),
}

NEVER = {
    "a call said to be fused": "It hides a part and makes no wrong one; why calls were merged only the export saw.",
    "one of the outputs renamed": "What forward() calls its results stands nowhere else; `hx verify` sees other names.",
}
"""Kinds that are not found."""
ALONE = "It is the only call of its class that computes so; `hx verify` compares its ports with PyTorch's."
STORED = "A module may hand a tensor to others through an attribute; `hx verify` sees how many were returned."
READ = "A module may return what it reads itself; `hx verify` sees how many were returned."
MERGED = "An exporter merges what equal modules compute: an earlier call may have made it. `hx verify` sees the number."
IN_BODY = "No hook sees the arguments of calls in bodies, which PyTorch compiles."
RECOVERED = "Its own node is in the graph no more; the part is the same."
MISSED: dict[str, dict[tuple[str, str], str]] = {
    "text": {("one of the outputs more", "gates.1: layer_norm_1"): READ},
    "cnn": {("one of the outputs more", "first.side: relu_3"): MERGED},
    "recurrent": {
        ("two inputs exchanged", "dec: hx.0 and hx.1"): ALONE,
        ("two outputs exchanged", "enc: output.1.0 and output.1.1"): ALONE,
        ("two outputs exchanged", "dec: output.1.0 and output.1.1"): ALONE,
        ("one of several outputs dropped", "dec: output.0"): STORED,
        ("one of several outputs dropped", "dec: output.1.1"): STORED,
        ("one of the outputs more", "cell@1: add_3"): READ,
        ("one of the inputs said to be implicit, or not to be", "dec: hx.1"): ALONE,
        ("recovered nodes dropped", "enc"): RECOVERED,
    },
    "bodies": {
        ("two inputs exchanged", "merge: hidden and residual"): ALONE,
        ("one of the inputs renamed", "g1.b: input"): IN_BODY,
        ("one of the inputs said to be implicit, or not to be", "g1.b: input"): IN_BODY,
    },
}


def exported(name: str, folder: Path) -> tuple[ir.Model, Path, Sidecar, Made]:
    torch.manual_seed(0)
    module, inputs = MODELS[name]()
    path = folder / "m.onnx"
    hx.export(module.eval(), inputs, f=path, verify=False)
    hierarchy = hx.load(path)
    return hierarchy.model, path, hierarchy.sidecar, (module, inputs)


@pytest.mark.parametrize("name", MODELS)
def test_lies_are_found_but_for_those_that_nothing_tells(tmp_path: Path, name: str) -> None:
    model, path, sidecar, _ = exported(name, tmp_path)
    assert found(model, path, sidecar) == []
    told = list(lies(model, path, sidecar))
    missed = [lie for lie in told if not found(model, path, lie.sidecar)]
    assert len({lie.kind for lie in told}) > 15
    assert {(lie.kind, lie.what) for lie in missed if lie.kind not in NEVER} == MISSED.get(name, {}).keys()
    counts = Counter(lie.kind in NEVER for lie in told)
    assert len([lie for lie in missed if lie.kind not in NEVER]) < counts[False] / 10


class Coupling(nn.Module):
    def __init__(self, exchanges: Callable[[Any, torch.Tensor, torch.Tensor], bool], mode: Any) -> None:
        super().__init__()
        self.exchanges, self.mode, self.dense = exchanges, mode, nn.Linear(6, 6)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        a, b = (b, a) if self.exchanges(self.mode, a, b) else (a, b)
        return torch.tanh(self.dense(a)) * b


class Around(nn.Module):
    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.inner = Coupling(by_mode, mode)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.inner(a, b)


class Flow(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for layer in self.layers:
            a, b = b, layer(a, b)
        return a, b


def by_mode(mode: Any, a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(mode["flip"] if isinstance(mode, dict) else mode)


def by_size(mode: Any, a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape[0] < b.shape[0]


def hooked(exchanges: bool) -> nn.Module:
    layer = Coupling(by_mode, False)
    if exchanges:
        layer.register_forward_pre_hook(lambda _, given: given[::-1])
    return layer


EXCHANGING: dict[str, Callable[[int], nn.Module]] = {
    "a flag": lambda number: Coupling(by_mode, bool(number % 2)),
    "a number": lambda number: Coupling(by_mode, number % 2),
    "nothing there": lambda number: Coupling(by_mode, None if number % 2 else "text"),
    "a container": lambda number: Coupling(by_mode, {"flip": number % 2}),
    "a module below": lambda number: Around(bool(number % 2)),
    "a hook": lambda number: hooked(number % 2 == 1),
    "sizes": lambda _: Coupling(by_size, None),
}


@pytest.mark.parametrize("by", EXCHANGING)
@pytest.mark.parametrize("count", [2, 3])
def test_modules_that_exchange_their_arguments_themselves_are_no_lie(by: str, count: int) -> None:
    flow = Flow([EXCHANGING[by](number) for number in range(count)]).eval()
    exported = hx.export(flow, (torch.randn(2, 6), torch.randn(1, 6)), strategy="htp", verify=False)
    assert hx.validate(exported).findings == []


class Twice(nn.Module):
    """Returns its last value first too, as transformers does with all hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.a(x)
        z = self.b(y)
        return z, x, y, z


@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
def test_a_value_that_is_returned_twice_is_no_lie_and_exchanging_another_is(strategy: str) -> None:
    exported = hx.export(Twice().eval(), (torch.randn(2, 4),), strategy=strategy, verify=False)
    assert hx.validate(exported).findings == []
    root = exported.sidecar.calls[0]
    x, y = root.outputs[1:3]
    root.outputs[1:3] = [x.model_copy(update={"name": y.name}), y.model_copy(update={"name": x.name})][::-1]
    assert "V27" in {finding.code for finding in hx.validate(exported).findings}


class AddsAtTimes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 4)

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        made = self.dense(values[0])
        return made + values[1] if len(values) > 1 else made


class Calls(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.adds = AddsAtTimes()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.adds(self.adds(x), x)


@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
def test_the_first_call_that_makes_a_node_of_its_own_may_be_a_later_one(strategy: str) -> None:
    exported = hx.export(Calls().eval(), (torch.randn(2, 4),), strategy=strategy, verify=False)
    assert hx.validate(exported).findings == []


@pytest.mark.parametrize(
    "kind",
    ["two inputs exchanged", "two outputs exchanged", "one of several outputs dropped", "one of the outputs more"],
)
def test_what_validation_cannot_tell_verification_does(tmp_path: Path, kind: str) -> None:
    model, path, sidecar, (module, inputs) = exported("recurrent", tmp_path)
    lie = next(
        lie for lie in lies(model, path, sidecar) if (lie.kind, lie.what) in MISSED["recurrent"] and lie.kind == kind
    )
    lie.sidecar.save(path.with_name("m_hierarchy.json"))
    report = hx.verify(path, module, inputs=inputs)
    assert report.failed
    assert report.culprit is not None
    assert lie.what.startswith(report.calls[report.culprit].fqn)
    assert hx.extract(path, output=tmp_path / "parts", against=module).mismatches


class Positive(nn.Module):
    """Its ReLU gives what it gets, and its first argument is equal to what is computed of it: zeros."""

    def __init__(self) -> None:
        super().__init__()
        dense = nn.Linear(4, 4)
        nn.init.constant_(dense.bias, 50.0)
        self.seq, self.of_zeros = nn.Sequential(dense, nn.ReLU()), OfZeros()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.of_zeros(torch.zeros(4), self.seq(x))


class OfZeros(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4)

    def forward(self, zeros: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(zeros)) - x


def test_what_is_equal_by_chance_is_no_port(tmp_path: Path) -> None:
    """Values alone do not tell which is which; TorchScript's names do."""
    exported = hx.export(Positive().eval(), (torch.randn(2, 4),), tmp_path / "m.onnx", strategy="htp", verify=False)
    assert hx.validate(exported).findings == []
    assert [node.op_type for node in exported["seq"].extract().model.graph] == ["Gemm", "Relu"]
    assert [node.op_type for node in exported["seq.1"].extract().model.graph] == ["Relu"]
    assert "MatMul" in {node.op_type for node in exported["of_zeros.first"].extract().model.graph}
