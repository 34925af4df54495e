"""`hx.verify` of models that were cut out."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

import hx


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, states, *rest: torch.Tensor, masks, unused=None) -> torch.Tensor:
        x = self.first(x) + self.second(self.first(states[0])) * states[1]["key"]
        return x * masks["one"] + sum(rest) + (0 if unused is None else 1)


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Inner(), Inner()])
        self.tail = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x, (y, {"key": x + 1}), x, y, masks={"one": y * 2}, unused=x * 3)
        return self.tail(x)


class Reading(nn.Module):
    """Reads what its parent left."""

    def __init__(self, box: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.box, self.linear = box, nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.box["gate"]


class Leaving(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.box: dict[str, torch.Tensor] = {}
        self.gate, self.reading = nn.Linear(4, 4), Reading(self.box)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.box["gate"] = self.gate(y)
        return self.reading(x)


@pytest.fixture(scope="module")
def outer() -> Outer:
    torch.manual_seed(0)
    return Outer().eval()


@pytest.fixture
def part(outer: Outer, tmp_path: Path) -> Path:
    """The second layer."""
    exported = hx.export(outer, (torch.randn(3, 4), torch.randn(3, 4)), dynamic=True)
    hx.extract(exported, "layers.1", tmp_path / "part.onnx")
    return tmp_path / "part.onnx"


def plant(path: Path, parameter: str) -> None:
    """Make one weight of a file 1 % too large."""
    model = ir.load(path)
    (row,) = [row for row in hx.load(path).sidecar.initializers if row.parameter == parameter]
    value = model.graph.initializers[row.name]
    assert value.const_value is not None
    value.const_value = ir.tensor(value.const_value.numpy() * np.float32(1.01), name=row.name)
    ir.save(model, path)


def test_against_the_whole_model_and_against_the_module_itself(outer: Outer, part: Path) -> None:
    assert hx.validate(part).valid
    for against in (outer, outer.layers[1]):
        report = hx.verify(part, against)
        assert not report.failed
        assert report.compared == len(report.calls) == 4
        assert [call.fqn for call in report.calls if call.local] == [
            "layers.1",
            "layers.1.first",
            "layers.1.first",
            "layers.1.second",
        ]
        assert all(call.local and call.accumulated for call in report.calls)


def test_a_planted_error_is_found(outer: Outer, part: Path) -> None:
    plant(part, "layers.1.second.weight")
    report = hx.verify(part, outer)
    assert report.failed
    assert report.culprit is not None
    assert report.calls[report.culprit].fqn == "layers.1.second"


def test_a_changed_module_is_found(outer: Outer, part: Path) -> None:
    changed = copy.deepcopy(outer)
    with torch.no_grad():
        changed.layers[1].first.bias += 1
        changed.layers[0].first.bias += 1  # not of the part
    report = hx.verify(part, changed)
    assert report.culprit is not None
    assert report.calls[report.culprit].fqn == "layers.1.first"


def test_given_inputs(outer: Outer, part: Path) -> None:
    x = torch.randn(5, 4)
    given = {"masks": {"one": x}, "x": x, "states": (x,)}
    with pytest.raises(hx.HxError) as caught:
        hx.verify(part, outer, inputs=given)
    assert caught.value.code == "HX409"
    exported = hx.export(outer, (x, x), dynamic=True)
    hx.extract(exported, "tail", part.with_name("tail.onnx"))
    report = hx.verify(part.with_name("tail.onnx"), outer, inputs=(x,))
    assert (report.failed, report.inputs) == (False, "given")


def test_a_part_that_a_tool_changed(outer: Outer, part: Path) -> None:
    changed = part.with_name("changed.onnx")
    onnx.save(onnx.load(part), changed)
    hx.relink(changed, part)
    assert hx.validate(changed).findings == []
    before, after = hx.verify(part, outer), hx.verify(changed, outer)
    assert [(call.fqn, call.local) for call in after.calls] == [(call.fqn, call.local) for call in before.calls]
    parts = hx.extract(changed, output=part.with_name("parts"), against=outer)
    assert (len(parts.modules), parts.mismatches) == (before.compared, 0)


@pytest.mark.parametrize("against", [nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4))])
def test_against_a_model_without_it(part: Path, against: nn.Module) -> None:
    with pytest.raises(hx.HxError) as caught:
        hx.verify(part, against)
    assert (caught.value.code, caught.value.argument) == ("HX407", "against")


def test_what_is_read_past_the_arguments_cannot_be_given(tmp_path: Path) -> None:
    model = Leaving().eval()
    hx.extract(hx.export(model, (torch.randn(3, 4), torch.randn(3, 4))), "reading", tmp_path / "part.onnx")
    with pytest.raises(hx.HxError) as caught:
        hx.verify(tmp_path / "part.onnx", model)
    assert caught.value.code == "HX128"


def test_parts_of_a_tiny_model(tmp_path: Path) -> None:
    exported = hx.export("tiny:bert", dynamic=True)
    report = hx.extract(
        exported, ["encoder.layer.*", "*.layer.1.attention", "pooler", "embeddings"], tmp_path / "parts"
    )
    assert not report.failed
    files = [tmp_path / "parts" / row.file for row in report.modules if row.file]
    assert len(files) > 3
    for file in files:
        found = hx.verify(file, exported.module)
        assert not found.failed, file.name
        assert found.compared > 1
    plant(
        files[1],
        "encoder.layer.0.output.dense.weight" if "layer_0" in files[1].name else "encoder.layer.1.output.dense.weight",
    )
    wrong = hx.verify(files[1], exported.module)
    assert wrong.culprit is not None
    assert wrong.calls[wrong.culprit].fqn.endswith("output.dense")
