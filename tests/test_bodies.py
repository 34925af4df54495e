"""Modules that run in the bodies of `torch.cond`, `while_loop` and `scan`: calls like all others.

PyTorch compiles such bodies, its hooks see nothing there: each extracted call is compared with the module called by
hand on inputs of the test's own.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from truth import array, plain_export

import hx
import hx_projector

Case = tuple[nn.Module, dict[str, Any], dict[str, int]]
CASES: list[Callable[[], Case]] = []


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    CASES.append(make)
    return make


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x, *, scale=None):
        y = self.norm(self.linear(x).relu())
        return y if scale is None else y * scale


class Choice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.yes, self.no, self.out = Block(), Block(), nn.Linear(8, 8)

    def forward(self, x):
        y = torch.cond(x.sum() > 0, lambda x: self.yes(x), lambda x: self.no(x) * 2, (x,))
        return self.out(y)


@case
def choice() -> Case:
    return Choice(), {"x": torch.randn(2, 8)}, {"yes": 1, "no": 1, "yes.linear": 1, "no.norm": 1, "out": 1}


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x, s):
        x = self.block(x)
        return torch.cond(
            s.sum() > 0,
            lambda x, s: self.block(self.block(x), scale=s),
            lambda x, s: self.block(x, scale=s) - 1,
            (x, s),
        )


@case
def shared() -> Case:
    return Shared(), {"x": torch.randn(2, 8), "s": torch.randn(2, 8)}, {"block": 4, "block.linear": 4}


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.choice, self.other = Choice(), Block()

    def forward(self, x):
        return torch.cond(x.mean() > 1, lambda x: self.choice(x), lambda x: self.other(x), (x,))


@case
def nested() -> Case:
    return Nested(), {"x": torch.randn(2, 8)}, {"choice": 1, "choice.yes.linear": 1, "other": 1}


class Mixed(nn.Module):
    """A module in a body, with an argument more, and outside: PyTorch's hooks see the second call alone."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x):
        y = torch.cond(x.mean() > 0, lambda x: self.block(x, scale=x.sigmoid()), lambda x: x * 2, (x,))
        return self.block(y + 1)


@case
def mixed() -> Case:
    return Mixed(), {"x": torch.randn(2, 8)}, {"block": 2, "block.norm": 2}


@dataclasses.dataclass
class Result:
    y: torch.Tensor
    shape: torch.Size


class Sized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x, shape):
        return Result(self.linear(x) * len(shape), shape)


class Objects(nn.Module):
    """A dataclass and a torch.Size cross the boundary."""

    def __init__(self) -> None:
        super().__init__()
        self.sized = Sized()

    def forward(self, x):
        return torch.cond(x.mean() > 0, lambda x: self.sized(x, x.shape).y, lambda x: x * 2, (x,))


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, pair):
        y = torch.tanh(self.linear(pair["a"]) + pair["b"])
        return {"y": y, "z": [y * 2]}


class Step(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    def forward(self, carry, x):
        result = self.pair({"a": carry, "b": x})
        return result["y"], result["z"][0]


class Recurrence(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.step = Step()

    def forward(self, xs):
        return scan(lambda c, x: self.step(c, x), torch.zeros(2, 8), xs, dim=0)


@case
def recurrence() -> Case:
    return Recurrence(), {"xs": torch.randn(5, 2, 8)}, {"step": 1, "step.pair": 1, "step.pair.linear": 1}


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x):
        start = torch.zeros((), dtype=torch.int64)
        return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, self.block(x)), (start, x))[1]


@case
def loop() -> Case:
    return Loop(), {"x": torch.randn(2, 8)}, {"block": 1, "block.linear": 1, "block.norm": 1}


class Cells(nn.Module):
    """Bodies whose nodes of several results have names that nodes of the graph around them, and of each other, have too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.GRUCell(8, 8) for _ in range(3))

    def forward(self, xs):
        last, _ = scan(lambda h, x: (self.first(x, h), h + 1), torch.zeros(2, 8), xs, dim=0)
        return torch.cond(last.sum() > 0, lambda x: self.second(x, x + 1), lambda x: self.third(x, -x), (last,))


@case
def cells() -> Case:
    return Cells(), {"xs": torch.randn(5, 2, 8)}, {"first": 1, "second": 1, "third": 1}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_calls_in_bodies_are_seen_owned_and_cut_out(make: Callable[[], Case], dynamic: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, kwargs, expected = make()
    module.eval()
    axes = {name: {0: "batch"} for name in kwargs} if dynamic and "xs" not in kwargs else {}
    exported = hx.export(module, kwargs, tmp_path / "m.onnx", dynamic_axes=axes, verify=False)
    plain = plain_export(module, (), kwargs, axes)
    assert hx_projector.first_difference(plain.model, exported.model) is None

    assert {node.evidence for node in exported.sidecar.nodes} == {"exporter"}
    assert any(node.graph for node in exported.sidecar.nodes)
    counts = Counter(call.fqn for call in exported)
    assert {fqn: counts[fqn] for fqn in expected} == expected
    assert {call.status for call in exported} == {"extractable"}

    assert hx.validate(tmp_path / "m.onnx").findings == []
    for call in hx.load(tmp_path / "m.onnx"):
        extraction = call.extract()
        feeds = {port.name: torch.randn(_shape(port.shape)) for port in extraction.inputs}
        actual = extraction.run({name: array(tensor) for name, tensor in feeds.items()})
        original = module.get_submodule(call.fqn)
        with torch.no_grad():
            result = original(**_nest(feeds))
        leaves = torch.utils._pytree.tree_leaves(result)
        assert len(leaves) == len(actual)
        for tensor, found in zip(leaves, actual.values(), strict=True):
            np.testing.assert_allclose(found, array(tensor), atol=1e-5)


def _shape(dims: list[int | str]) -> list[int]:
    return [dim if isinstance(dim, int) else 3 for dim in dims]


def _nest(feeds: dict[str, torch.Tensor]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, tensor in feeds.items():
        first, _, rest = name.partition(".")
        if rest:
            nested.setdefault(first, {})[rest] = tensor
        else:
            nested[first] = tensor
    return nested


def test_objects_are_looked_into() -> None:
    exported = hx.export(Objects().eval(), {"x": torch.randn(2, 8)}, dynamic_axes={"x": {0: "batch"}}, verify=False)
    assert exported.report.notes == []
    (seen,) = [c for c in exported.context.calls if exported.context.modules[c.module].fqn == "sized"]
    assert seen.in_body
    call = exported["sized"]
    assert [port.name for port in call.inputs] == ["x"]
    assert [port.name for port in call.outputs] == ["y"]
    assert all(port.value for port in (*call.inputs, *call.outputs))


def test_a_loop_value_has_no_one_example() -> None:
    exported = hx.export(Loop().eval(), {"x": torch.randn(2, 8)}, verify=False)
    with pytest.raises(hx.HxError, match="another value in every round"):
        exported["block"].extract().example_inputs()
