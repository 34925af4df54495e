"""What an export was given is what every later command gives: arguments that are no tensors, and all shapes of `forward`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hx

X = torch.linspace(-1, 1, 8).reshape(2, 4)


class Flags(nn.Module):
    """`n` times a layer, by position before the tensor, and a container that only `opts` fills."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = Scaled()

    def forward(self, n: int, x: torch.Tensor, flip: bool = False, return_dict: bool = True, opts: Any = None) -> Any:
        for _ in range(n):
            x = self.layer(x, scale=opts["scales"][0] if opts else 1.0, bias=None)
        y = -x if flip else x
        return {"out": y} if return_dict else (y,)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, *, scale: float = 3.0, bias: float | None = 5.0) -> torch.Tensor:
        return self.lin(x) * scale + (bias or 0)


class Variadic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Keywords()

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self.inner(sum(args) if args else kwargs.pop("x"), **kwargs)


class Rest(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Shifted()

    def forward(self, x: torch.Tensor, opt: float | None = None, mode: str = "sum", *rest: Any, **more: Any) -> Any:
        return self.inner(x, mode, shift=rest[0] if rest else 1.5) + len(more)


class Shifted(nn.Module):
    def forward(self, x: torch.Tensor, mode: str, *, shift: float) -> torch.Tensor:
        return getattr(x.exp(), mode)(1) + shift


class Keywords(nn.Module):
    def forward(self, x: torch.Tensor, **more: Any) -> torch.Tensor:
        return x.cos() + sum(value for value in more.values() if value is not None)


@dataclasses.dataclass
class Graphy:
    node: torch.Tensor
    edge: torch.Tensor
    scale: float = 2.0


torch.export.register_dataclass(Graphy, serialized_type_name="hx.tests.Graphy")


class TakesDataclass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, g: Graphy) -> torch.Tensor:
        return self.lin(g.node)[g.edge] * g.scale


GRAPHY = Graphy(X, torch.tensor([1, 0, 1]), 4.0)
CASES: dict[str, tuple[Callable[[], nn.Module], Any, list[list[int | str]]]] = {
    "flags": (Flags, (2, X, True), [["batch", 4]]),
    "nested": (Flags, {"n": 1, "x": X, "return_dict": False, "opts": {"scales": (0.5, "a")}}, [["batch", 4]]),
    "args": (Variadic, (X, X + 1), [["batch", "sequence"]] * 2),
    "rest": (Rest, (X, None, "mean", 2.5), [["batch", "sequence"]]),
    "kwargs": (Variadic, {"x": X, "y": X + 1, "z": 2, "w": None}, [["batch", "sequence"]] * 2),
    "dataclass": (TakesDataclass, (GRAPHY,), [["batch", 4], ["g_edge_batch"]]),
}


@pytest.mark.parametrize("name", CASES)
def test_later_commands_give_what_the_export_was_given(name: str, tmp_path: Path) -> None:
    kind, example, shapes = CASES[name]

    def factory() -> Any:
        torch.manual_seed(0)
        return kind().eval(), example

    def bare() -> Any:
        return factory()[0]

    path = tmp_path / "model.onnx"
    exported = hx.export(factory, f=path, dynamic=True)
    assert exported.verification.status == "match"
    assert [info.shape for info in exported.sidecar.model.inputs] == shapes
    for against in (factory, bare) if name != "dataclass" else (factory,):
        report = hx.verify(path, against)
        assert (report.failed, report.compared) == (False, len(report.calls))
    parts = hx.extract(path, output=tmp_path / "parts", against=factory)
    assert not parts.failed
    for part in parts.modules:
        assert not hx.verify(tmp_path / "parts" / str(part.file), factory).failed
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(path.read_bytes())
    assert hx.project(foreign, factory).covered_percent == 100
    assert not hx.verify(foreign, factory).failed


def test_recorded_arguments_go_before_those_of_the_example(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Flags().eval()
    hx.export(module, {"n": 2, "x": X, "flip": True}, tmp_path / "model.onnx")

    def factory() -> Any:
        return module, (1, X + 1, False, False)

    assert not hx.verify(tmp_path / "model.onnx", factory).failed


@pytest.mark.parametrize("returned", [1, 2])
def test_other_outputs_than_pytorch_s_are_a_mismatch(returned: int, tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> Any:
            y = self.lin(x)
            if torch.compiler.is_exporting():
                return y if returned == 1 else (y, (y + 1,))
            return (y, y + 1)

    module = Two().eval()
    exported = hx.export(module, (X,), tmp_path / "model.onnx")
    assert exported.verification.status == "mismatch"
    assert hx.verify(tmp_path / "model.onnx", module).failed


@pytest.mark.parametrize("given", [True, False])
def test_what_is_called_config_may_be_anything(given: bool) -> None:
    class Net(nn.Module):
        def __init__(self, config: Any) -> None:
            super().__init__()
            self.config, self.lin = config, nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lin(x)

    class Raising(Net):
        config = property(lambda self: 1 / 0, lambda self, _: None)  # pyright: ignore[reportAssignmentType]

    class Attributes(dict[str, Any]):
        def __getattr__(self, name: str) -> Any:
            return self[name]

    @dataclasses.dataclass
    class Sizes:
        image_size: tuple[int, ...] = ()
        hop_length: float = float("inf")

    odd = (
        None,
        {"width": 4},
        Sizes(),
        Sizes,
        argparse.Namespace(attribute_map="x"),
        Attributes(width=4),
        torch.ones(3),
    )
    for module in (*map(Net, odd), Raising(None)):
        hx.export(module.eval(), (X,) if given else (), verify=False)
