"""Modules that are not what Python's classes make: compiled, traced, captured, not initialised. Each as it is written."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hx
from hx_sidecar_schema import HxError

X = torch.linspace(-1, 1, 16).reshape(2, 8)


def never(*_: Any) -> Any:
    raise AssertionError("the compiler ran")


compiled: Callable[[Any], Any] = functools.partial(torch.compile, backend=never)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lin(x).relu()


class CompiledForward(Block):
    forward = compiled(Block.forward)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a: Any = Block()
        self.b = Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


def net(change: Callable[[Net], Any] = lambda _: None) -> Net:
    torch.manual_seed(0)
    made = Net()
    change(made)
    return made


def program(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    return torch.export.export(module, args if args or kwargs else (X,), kwargs).module()


CALLS = ["", "a", "a.lin", "b", "b.lin"]
MODULES: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "compile() of a child": (lambda: net(lambda n: n.a.compile(backend=never)), CALLS),
    "compile() of the root": (lambda: net(lambda n: n.compile(backend=never)), CALLS),
    "torch.compile of a child": (
        lambda: net(lambda n: setattr(n, "a", compiled(n.a))),
        ["", "a", "a._orig_mod", "a._orig_mod.lin", "b", "b.lin"],
    ),
    "torch.compile of the root": (lambda: compiled(net()), ["", *(f"_orig_mod.{n}".rstrip(".") for n in CALLS)]),
    "a compiled forward": (lambda: net(lambda n: setattr(n.a, "forward", compiled(n.a.forward))), CALLS),
    "a class with a compiled forward": (lambda: net(lambda n: setattr(n, "a", CompiledForward())), CALLS),
    "DataParallel": (lambda: nn.DataParallel(net()), ["", *(f"module.{n}".rstrip(".") for n in CALLS)]),
    "torch.fx of the root": (lambda: torch.fx.symbolic_trace(net()), ["", "a.lin", "b.lin"]),
    "torch.fx of a child": (lambda: net(lambda n: setattr(n, "a", torch.fx.symbolic_trace(n.a))), CALLS),
    "a program of torch.export": (lambda: program(net()), ["", "_guards_fn"]),
    "a program that takes names": (lambda: program(net(), x=X), ["", "_guards_fn"]),
    "a program as a child": (
        lambda: net(lambda n: setattr(n, "a", program(n.a))),
        ["", "a", "a._guards_fn", "b", "b.lin"],
    ),
    "an unflattened program": (lambda: torch.export.unflatten(torch.export.export(net(), (X,))), CALLS),
    "a traced child": (lambda: net(lambda n: setattr(n, "a", torch.jit.trace(n.a, X))), ["", "a", "b", "b.lin"]),
}


def checked(factory: Callable[[], Any], path: Path, **options: Any) -> hx.Export:
    exported = hx.export(factory, f=path, **options)
    assert exported.verification is not None
    assert exported.verification.status == "match"
    assert hx.validate(path).findings == []
    assert hx.verify(path, factory).culprit is None
    return exported


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_what_wraps_a_module_hides_none_of_its_calls(name: str, tmp_path: Path) -> None:
    make, calls = MODULES[name]
    exported = checked(lambda: (make(), {"x": X} if "names" in name else (X,)), tmp_path / "m.onnx")
    modules = exported.sidecar.modules
    assert [modules[call.module].fqn for call in exported.sidecar.calls if call.status != "not_called"] == calls


def test_a_function_that_is_compiled_runs_as_it_is_written(tmp_path: Path) -> None:
    sine = compiled(lambda x: x.sin() + 1)

    class Wave(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return sine(super().forward(x))

    checked(lambda: (Wave(), (X,)), tmp_path / "m.onnx")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "wrap",
    [lambda n: torch.jit.trace(n, X), torch.jit.script, lambda n: torch.jit.freeze(torch.jit.trace(n.eval(), X))],
)
def test_what_torchscript_made_is_exported_by_its_exporter(wrap: Callable[[Net], Any], tmp_path: Path) -> None:
    exported = checked(lambda: (wrap(net()), (X,)), tmp_path / "m.onnx", strategy="auto")
    assert [port.name for port in exported.sidecar.calls[0].inputs] == ["x"]
    with pytest.raises(HxError, match=r"torch.onnx.export refuses .* ScriptModule|RecursiveScriptModule") as caught:
        hx.export(wrap(net()), (X,))
    assert caught.value.code == "HX120"


def test_a_compiled_child_is_exported_by_torchscript_too(tmp_path: Path) -> None:
    made = net(lambda n: setattr(n, "a", compiled(n.a)))
    checked(lambda: (made, (X,)), tmp_path / "m.onnx", strategy="htp")


def test_what_was_not_initialised_is_the_same_in_every_run_and_said(tmp_path: Path) -> None:
    def lazy() -> tuple[nn.Module, tuple[torch.Tensor]]:
        return nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(4)), (X,)

    exported = checked(lazy, tmp_path / "m.onnx")
    assert any("0.weight" in note and "random" in note for note in exported.report.notes)


def test_a_program_takes_each_input_as_it_was_captured(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor, pair: list[torch.Tensor], *, s: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"a": self.lin(x) + pair[0], "b": pair[1] * s}

    made = program(Two(), X, [X, X + 1], s=X - 1)
    checked(lambda: (made, {"x": X, "pair": [X, X + 1], "s": X - 1}), tmp_path / "m.onnx")


def test_modules_in_bodies_are_not_counted_among_those_that_a_run_calls(tmp_path: Path) -> None:
    class Cond(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(torch.cond(x.sum() > 0, lambda x: self.a(x), lambda x: self.b(x), (x,)))

    exported = checked(lambda: (Cond(), (X + 1,)), tmp_path / "m.onnx")
    assert [call.in_body for call in exported.sidecar.calls] == [False, True, True, True, True, False, False]


def test_a_file_of_a_module_that_takes_any_number_of_inputs_is_projected_against_it(tmp_path: Path) -> None:
    class Sum(Net):
        def forward(self, *xs: torch.Tensor) -> torch.Tensor:
            return self.a(xs[0]) + sum(xs[1:])

    made = Sum().eval()
    torch.onnx.export(made, (X, X + 1), tmp_path / "m.onnx", dynamo=True, verbose=False)
    report = hx.project(tmp_path / "m.onnx", lambda: (made, (X, X + 1)))
    assert report.covered_percent == 100
    assert hx.verify(tmp_path / "m.onnx", lambda: (made, (X, X + 1))).compared == 3
