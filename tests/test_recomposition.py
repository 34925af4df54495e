"""The law of extraction on real exports: a call is its calls, cut out and joined by their ports, bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from recomposition import Array, Recomposition, Step, assert_same_bits, carried, in_graph, recompose
from torch import nn

import hx
from hx import Extraction, Hierarchy

Case = tuple[nn.Module | str, dict[str, torch.Tensor] | tuple[()]]


class Recurrent(nn.Module):
    """The exporter removes the values between the two: their transposes cancel."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)
        self.lstm = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, state = self.gru(x)
        outputs, _ = self.lstm(hidden)
        return self.head(outputs[:, -1]) + state.sum()


class Difference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Linear(8, 8)

    def forward(self, left: torch.Tensor, right: torch.Tensor, *, bias: torch.Tensor | None = None):
        result = self.scale(left) - right
        result = result if bias is None else result + bias
        return {"result": result, "positive": result > 0, "pair": (result.argmax(-1), left)}


class Reached(nn.Module):
    """Reads a tensor that is no argument."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.context: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x) * self.context


class Odd(nn.Module):
    """A shared module, an attribute, a merged Conv and BatchNorm, calls in branches, values changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.difference = Difference()
        self.conv = nn.Conv1d(8, 8, 3, padding=1)
        self.batch_norm = nn.BatchNorm1d(8)
        self.reached = Reached()
        self.yes, self.no = nn.Linear(8, 8), nn.Linear(8, 8)
        self.drop = nn.Dropout()
        self.out = nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Linear(8, 8))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = self.difference(x, x.flip(-1))
        second = self.difference(first["result"], x, bias=first["positive"].to(x.dtype))
        mixed = self.batch_norm(self.conv(second["result"].transpose(1, 2))).transpose(1, 2)
        self.reached.context = torch.where(mask[:, :, None], first["result"], 0.5)
        y = self.drop(self.reached(mixed))
        y = torch.cond(y.mean() > 0, lambda y: self.yes(y), lambda y: self.no(y) * 2, (y,))
        y = y.relu()
        y += second["result"]
        return self.out(y), second["pair"][0] * mask


def recurrent() -> Case:
    return Recurrent().eval(), {"x": torch.randn(2, 7, 4)}


def odd() -> Case:
    return Odd().eval(), {"x": torch.randn(2, 6, 8), "mask": torch.rand(2, 6) > 0.5}


def tiny(arch: str) -> Callable[[], Case]:
    return lambda: (f"tiny:{arch}", ())


class Export(NamedTuple):
    model: Hierarchy
    calls: dict[str, Recomposition]
    """By tag; those that have calls to be put together from."""


Exports = Callable[[str], Export]

CASES: dict[str, tuple[Callable[[], Case], bool]] = {
    "bert, dynamic": (tiny("bert"), True),
    "gpt2": (tiny("gpt2"), False),
    "resnet": (tiny("resnet"), False),
    "whisper, dynamic": (tiny("whisper"), True),
    "recurrent": (recurrent, False),
    "odd": (odd, False),
    "odd, dynamic": (odd, True),
}


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    @cache
    def export(name: str) -> Export:
        make, dynamic = CASES[name]
        torch.manual_seed(0)
        module, example = make()
        path = tmp_path_factory.mktemp("export") / "m.onnx"
        hx.export(module, example, path, dynamic=dynamic, verify=False)
        model = hx.load(path)
        pieces = {call.tag: recompose(model, call.row) for call in model.calls(status="extractable")}
        return Export(model, {tag: found for tag, found in pieces.items() if found.children})

    return export


def draw_inputs(model: Hierarchy, sizes: dict[str, int], random: np.random.Generator) -> dict[str, Array]:
    """Return inputs of a model like the recorded ones, with other numbers and sizes."""
    inputs: dict[str, Array] = {}
    for info in model.sidecar.model.inputs:
        recorded = model.example_inputs()[info.name]
        shape = [dim if isinstance(dim, int) else sizes[dim] for dim in info.shape]
        if recorded.dtype.kind == "f":
            array = random.standard_normal(shape)
        else:
            array = random.integers(0, int(recorded.max()), shape, endpoint=True)
        inputs[info.name] = array.astype(recorded.dtype)
    return inputs


def draw_feeds(
    model: Hierarchy, whole: Extraction, inputs: dict[str, Array], sizes: dict[str, int], random: np.random.Generator
) -> dict[str, Array]:
    """Return what a call gets for inputs of the model, with noise on it.

    After that nothing outside the call can tell what the call must compute. Large numbers are left: they are masks.
    """
    values = model.run(inputs, [port.carrier for port in whole.inputs if in_graph(port)])
    feeds: dict[str, Array] = {}
    for port in whole.inputs:
        array = carried(port, values, sizes)
        if array.dtype.kind == "f":
            noise = random.standard_normal(array.shape).astype(array.dtype)
            array = np.where(np.abs(array) < 1e3, array + noise / 8, array)
        feeds[port.name] = array
    return feeds


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_call_is_its_calls_joined_by_their_ports(exports: Exports, name: str, data: st.DataObject) -> None:
    model, calls = exports(name)
    pieces = calls[data.draw(st.sampled_from(sorted(calls)), label="call")]
    symbols = {dim for info in model.sidecar.model.inputs for dim in info.shape if isinstance(dim, str)}
    sizes = {symbol: data.draw(st.integers(1, 5), label=symbol) for symbol in sorted(symbols)}
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    feeds = draw_feeds(model, pieces.whole, draw_inputs(model, sizes, random), sizes, random)
    expected = pieces.whole.run(feeds)
    actual = pieces.run(feeds)
    assert expected.keys() == actual.keys()
    for port, array in expected.items():
        assert_same_bits(array, actual[port])


def test_what_is_joined_are_the_calls_and_the_nodes_between_them(exports: Exports) -> None:
    """The law would hold as well if the parent computed all by itself."""
    model, calls = exports("odd")
    pieces = calls["/Odd"]
    modules = [model.sidecar.module_of(model.sidecar.calls[row]).fqn for row in pieces.children]
    assert modules == ["difference", "difference", "reached", "out"]
    own = {node.op_type for step in pieces.steps if step.row is None for node in step.piece.model.graph}
    assert own >= {"Conv", "If", "Where"}
    assert not own & {"LayerNormalization", "Sub", "ArgMax"}


def test_arguments_in_each_other_s_place_are_noticed(exports: Exports) -> None:
    model, calls = exports("odd")
    whole, steps = calls["/Odd"].whole, list(calls["/Odd"].steps)
    number = next(n for n, step in enumerate(steps) if step.row == calls["/Odd"].children[1])
    left, right, *rest = steps[number].piece.inputs
    assert (left.name, right.name) == ("left", "right")
    swapped = [left.model_copy(update={"value": right.value}), right.model_copy(update={"value": left.value})]
    changed = dataclasses.replace(steps[number].piece, inputs=[*swapped, *rest])
    steps[number] = Step(changed, steps[number].row)
    random = np.random.default_rng(0)
    feeds = draw_feeds(model, whole, draw_inputs(model, {}, random), {}, random)
    expected = whole.run(feeds)["output.0"]
    with pytest.raises(AssertionError, match="not equal"):
        assert_same_bits(expected, Recomposition(whole, steps).run(feeds)["output.0"])
