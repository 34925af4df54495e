"""Who reads which output of a replaced call: PyTorch with a forward hook that changes one output is the oracle."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import hx
from hx_graph import make_session, run_session
from hx_surgery import Part, replace

FACTOR = 1.25


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)


class Chained(Linear):
    """Each output is made of the one before it."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        first = self.linear(x).tanh()
        return first, first * 2, (first * 2).exp()


class Twice(Linear):
    """One value is two outputs, in a dictionary that holds more than tensors."""

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        first = self.linear(x)
        return {"a": first, "b": [first.sum(), (first.exp(), first)], "none": None, "number": 3}


class Passing(Linear):
    """It hands an argument on."""

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.linear(x) + bias, bias


class Storing(Linear):
    """It leaves on the side what it makes of its output."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.linear(x)
        self.last = result.tanh()
        return result


class Reshaping(Linear):
    """What it makes of its output on the way to another, code outside makes too: the exporter merges the two."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        result = self.linear(x)
        return result, result.reshape(-1).exp()


class Constants(Linear):
    """A constant and a weight are outputs."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.linear(x), torch.ones(4) * 2, self.linear.bias


class InPlace(nn.Module):
    """Its argument is its output, changed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(1)


class Model(nn.Module):
    """All of them, and what is made of their outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.chained, self.twice, self.unread, self.read = Chained(), Twice(), Passing(), Passing()
        self.stored, self.reshaped, self.in_place = Storing(), Reshaping(), InPlace()
        self.constants, self.unread_constants = Constants(), Constants()
        self.before = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.before(x)
        first, second, third = self.chained(x)
        results = [first + 1, second + 2, third + 3]
        found = self.twice(x)
        results.append(found["a"] * found["b"][0] + found["b"][1][0] - found["b"][1][1])
        bias = x.exp()
        results.append(self.unread(x * bias, bias)[0])
        result, bias = self.read(x, x.sin())
        results += [result * bias, self.stored(x) * 2 + self.stored.last]
        result, other = self.reshaped(x)
        results += [result.reshape(-1) + other, self.unread_constants(x)[0], sum(self.constants(x))]
        y = x * 1.5
        view = y[:, :2]
        return [*results, y * self.in_place(y), view * 2]


UNKNOWN = "HX222"
CASES = {
    "chained": ["right"] * 4,
    "twice": ["right", UNKNOWN, "right", "right", UNKNOWN],  # one value is two outputs
    "unread": ["right"] * 3,
    "read": [UNKNOWN, "right", UNKNOWN],
    "stored": [UNKNOWN],
    "reshaped": [UNKNOWN, UNKNOWN, "right"],
    "unread_constants": ["right"] * 3,
    "constants": [UNKNOWN, "right", UNKNOWN, UNKNOWN],
    "in_place": ["right"],
}


def scaled(model: ir.Model, which: set[int]) -> ir.Model:
    """Return a part of which some outputs are a quarter larger."""
    graph = model.clone().graph
    for index in which:
        value = graph.outputs[index]
        factor = ir.node("Constant", [], {"value": ir.tensor(np.float32(FACTOR))})
        product = ir.node("Mul", [value, factor.outputs[0]])
        out, factor.outputs[0].name = product.outputs[0], f"factor_{index}"
        out.name, out.type, out.shape, value.name = value.name, value.type, value.shape, f"before_{index}"
        graph.extend([factor, product])
        graph.outputs[index] = out
    return ir.Model(graph, ir_version=model.ir_version)


def in_pytorch(model: nn.Module, name: str, x: torch.Tensor, which: set[int]) -> list[Any]:
    """Return what the model gives where some outputs of a module are a quarter larger.

    An output that is an argument stays that where the module changes it in place: the part does so too.
    """

    def hook(module: nn.Module, _given: Any, result: Any) -> Any:
        leaves, spec = pytree.tree_flatten(result)
        tensors = [index for index, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        for index in (tensors[place] for place in which):
            larger = leaves[index] * FACTOR
            leaves[index] = leaves[index].copy_(larger) if isinstance(module, InPlace) else larger
        return pytree.tree_unflatten(leaves, spec)

    handle = model.get_submodule(name).register_forward_hook(hook)
    with torch.no_grad():
        result = model(x.clone())
    handle.remove()
    return [leaf.numpy() for leaf in result]


@cache
def exported() -> tuple[Model, torch.Tensor, hx.Export]:
    torch.manual_seed(0)
    model, x = Model().eval(), torch.randn(3, 4)
    return model, x, hx.export(model, (x.clone(),), verify=False)


@pytest.mark.parametrize("name", CASES)
def test_each_output_that_changes_reaches_those_who_read_it_or_is_refused(name: str) -> None:
    """All outputs at once, then each alone."""
    model, x, export = exported()
    cut = export[name].extract().model
    everything = set(range(len(cut.graph.outputs)))
    found: list[str] = []
    for which in [everything, *({index} for index in everything if len(everything) > 1)]:
        try:
            made = replace(export, [export[name].row], Part(scaled(cut, which), "part.onnx"), file="new.onnx")
        except hx.HxError as error:
            found.append(error.code)
            continue
        actual = run_session(make_session(made.model, None), export.example_inputs()).values()
        for one, other in zip(actual, in_pytorch(model, name, x, which), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=f"{which}")
        found.append("right")
    assert found == CASES[name]
