"""What calls return, as outputs of the model: under readable names, with every number as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

import hx
from hx_sidecar_schema import HxError


def run(path: Path, feeds: dict[str, Any]) -> dict[str, Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options)
    return dict(zip([out.name for out in session.get_outputs()], session.run(None, feeds), strict=True))


def tapped(model: hx.Hierarchy, modules: str | list[str], path: Path) -> hx.Hierarchy:
    """Tap, and hold all that is handed out against the model's own values; the new model is one like any other."""
    report = hx.tap(model, modules, path)
    onnx.checker.check_model(path, full_check=True)
    examples = model.example_inputs()
    expected = {info.name: info.name for info in model.sidecar.model.outputs}
    expected |= {entry.name: entry.value for entry in report.outputs}
    found, values = run(path, examples), model.run(examples, expected.values())
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], values[value]) for name, value in expected.items())
    after = hx.load(path)
    assert hx.validate(path).valid
    before = {(call.fqn, call.index): call.status for call in model}
    assert {(call.fqn, call.index): call.status for call in after} == before
    return after


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout())
        self.table = nn.Embedding(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.block(x)) + self.table(torch.arange(3))


@pytest.fixture
def twice(tmp_path: Path) -> hx.Hierarchy:
    return hx.export(Twice().eval(), (torch.randn(3, 4),), tmp_path / "twice.onnx")


def test_every_call_is_handed_out_under_its_own_name(twice: hx.Hierarchy, tmp_path: Path) -> None:
    after = tapped(twice, ["*", "*@*", "*.*@*", "/*"], tmp_path / "all.onnx")
    names = [info.name for info in after.sidecar.model.outputs]
    assert names[1:] == [
        "Twice.output",  # of the root, which the model hands out as it is too
        "block.output",
        "block.0.output",
        "block.1.output",
        "block.2.output",  # Dropout adds no node: the value of block.1
        "block@1.output",
        "block.0@1.output",
        "block.1@1.output",
        "block.2@1.output",
        "table.output",  # a constant of the graph
    ]


def test_a_part_of_a_tapped_model_is_the_part_of_the_model(twice: hx.Hierarchy, tmp_path: Path) -> None:
    after = tapped(twice, "block.0", tmp_path / "one.onnx")
    assert hx.compare(
        hx.Hierarchy(None, twice["block"].extract().sidecar, twice["block"].extract().model),
        hx.Hierarchy(None, after["block"].extract().sidecar, after["block"].extract().model),
    ).same


def test_tapping_what_was_tapped_makes_other_names(twice: hx.Hierarchy, tmp_path: Path) -> None:
    once = tapped(twice, "block.0", tmp_path / "once.onnx")
    again = tapped(once, "block.0", tmp_path / "again.onnx")
    assert [info.name for info in again.sidecar.model.outputs][1:] == ["block.0.output", "block.0.output.2"]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)
        self.lstm = nn.LSTM(5, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(self.gru(x)[0])[0]


def test_what_the_exporter_removed_is_made_again(tmp_path: Path) -> None:
    model = hx.export(Recurrent().eval(), (torch.randn(2, 3, 4),), tmp_path / "recurrent.onnx")
    values = {port.value for port in model["gru"].outputs}
    assert not values <= {node.output for node in model.sidecar.nodes}  # two transposes cancelled
    tapped(model, "gru", tmp_path / "tapped.onnx")


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, self.first, self.second, (x,))


def test_what_ends_in_a_body_is_refused_with_the_reason(tmp_path: Path) -> None:
    model = hx.export(Branching().eval(), (torch.ones(2, 4),), tmp_path / "branching.onnx")
    with pytest.raises(HxError, match=r"body of a control-flow node") as error:
        hx.tap(model, "first", tmp_path / "tapped.onnx")
    assert error.value.code == "HX412"
    assert not (tmp_path / "tapped.onnx").exists()


def test_what_was_merged_is_left_out_and_told(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
    model = hx.export(module, (torch.randn(1, 1, 5, 5),), tmp_path / "cnn.onnx")
    report = hx.tap(model, ["0", "1", "2"], tmp_path / "tapped.onnx")
    assert [entry.fqn for entry in report.outputs] == ["1", "2"]
    assert [entry.fqn for entry in report.left_out] == ["0"]
    assert "merged" in report.left_out[0].reason


class Trivial(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_model_that_hands_its_input_on_hands_out_more(tmp_path: Path) -> None:
    model = hx.export(Trivial(), (torch.ones(2),), tmp_path / "identity.onnx")
    assert model.root.status == "identity"
    report = hx.tap(model, "Trivial", tmp_path / "tapped.onnx")
    assert [entry.name for entry in report.outputs] == ["Trivial.output"]
    assert hx.validate(tmp_path / "tapped.onnx").valid


@pytest.mark.usefixtures("twice")
def test_the_model_itself_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(HxError) as error:
        hx.tap(tmp_path / "twice.onnx", "block", tmp_path / "twice.onnx", overwrite=True)
    assert error.value.code == "HX408"
