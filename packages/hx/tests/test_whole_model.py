"""The outputs of the whole model count, whatever is known of the root; outputs that a tool added are none of PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn

import hx

X = torch.linspace(-1, 1, 8).reshape(2, 4)


class Net(nn.Module):
    """It computes more of what its children return."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.first(x).exp()
        return y, self.second(y).sigmoid()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "m.onnx"
    hx.export(Net(), (X,), path)
    return path


def merged(path: Path, count: int) -> hx.Hierarchy:
    """Return a model whose root lost its last outputs."""
    model = hx.load(path)
    calls = model.sidecar.calls
    kept = len(calls[0].outputs) - count
    lost = [port.model_copy(update={"value": None}) for port in calls[0].outputs[kept:]]
    update = {"status": "fused", "reason": "The exporter merged it.", "outputs": [*calls[0].outputs[:kept], *lost]}
    calls[0] = calls[0].model_copy(update=update)
    return model


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("wrong", [None, "Exp", "Sigmoid"])
def test_what_a_merged_root_computes_itself_is_compared(exported: Path, lost: int, wrong: str | None) -> None:
    model = merged(exported, lost)
    if wrong:
        next(node for node in model.model.graph if node.op_type == wrong).op_type = "Relu"
    report = hx.verify(model, Net())
    root = report.calls[0]
    assert report.compared == len(report.calls)
    assert (root.accumulated, root.reason) == (root.local, "")
    assert (report.failed, report.culprit) == ((True, 0) if wrong else (False, None))
    assert not any(call.wrong for call in report.calls[1:])


@pytest.mark.parametrize("lost", [["output.1"], ["output.0", "output.1"]])
def test_outputs_that_cannot_be_told_from_each_other_are_not_compared_and_that_is_said(
    exported: Path, lost: list[str]
) -> None:
    model = merged(exported, len(lost))
    model.model.graph.outputs.append(model.model.graph.inputs[0])
    report = hx.verify(model, Net())
    root = report.calls[0]
    assert not report.failed
    assert root.reason == f"The whole ONNX model has no value for {lost}."
    assert (root.accumulated is None) == (len(lost) == 2) == (root.reason in str(report))


@pytest.mark.parametrize("relinked", [False, True])
def test_a_stage_is_not_the_whole_model(exported: Path, tmp_path: Path, relinked: bool) -> None:
    hx.split(exported, 2, tmp_path / "stages")
    first, second = (tmp_path / "stages" / f"m_stage_{number}.onnx" for number in (0, 1))
    if relinked:
        first, second = again(first), again(second)
    report = hx.verify(first, Net())
    assert (report.failed, report.compared > 0) == (False, True)
    assert (report.calls[0].local, report.calls[0].accumulated) == (None, None)
    assert "; the whole model is not: " in str(report)
    with pytest.raises(hx.HxError, match="past the arguments of '/Net'") as caught:
        hx.verify(second, Net())  # its input is what the other stage made, of the same shape as the model's own
    assert caught.value.code == "HX128"


def again(path: Path) -> Path:
    """Return a model as a tool writes it that changes nothing, relinked."""
    made = path.with_name(f"again_{path.name}")
    onnx.save(onnx.load(path), made)
    hx.relink(made, path)
    assert hx.validate(made).findings == []
    return made


def half(path: Path) -> Path:
    made = path.with_name("half.onnx")
    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), made)
    hx.relink(made, path)
    return made


@pytest.mark.findings("V01")  # the converter sorts no nodes
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", [lambda path: path, half], ids=["tapped", "tapped, then halved"])
def test_outputs_that_were_added_make_no_call_wrong(
    exported: Path, tmp_path: Path, change: Callable[[Path], Path]
) -> None:
    net = Net()
    hx.tap(exported, ["", "first", "second.*"], tmp_path / "tapped.onnx")
    path = change(tmp_path / "tapped.onnx")
    report = hx.verify(path, net)
    assert not report.failed
    assert "does not return ['Net.output.0', 'Net.output.1', 'first.output'" in report.calls[0].reason
    assert hx.extract(path, output=tmp_path / "parts", against=net).mismatches == 0

    model = hx.load(path)
    weight = model.model.graph.initializers["first.bias"]
    assert weight.const_value is not None
    weight.const_value = ir.tensor(np.asarray(weight.const_value.numpy() * 2))
    assert hx.verify(model, net).culprit == 1


def test_outputs_whose_names_only_the_graph_has_are_none_that_were_added(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.onnx"
    onnx.save(onnx.load(exported), path)
    hx.project(path)
    with pytest.raises(hx.HxError, match=r"The PyTorch module gave no \['exp', 'sigmoid'\]"):
        hx.verify(path, Net(), inputs=(X,))


class Chunked(nn.Module):
    """Calls its layer once where it is exported, and once for each chunk where it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.layer = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pre(x)
        parts = [x] if torch.onnx.is_in_onnx_export() else x.chunk(2)
        return torch.cat([self.layer(part) for part in parts])


def test_calls_that_cannot_be_paired_are_not_compared(tmp_path: Path) -> None:
    net = Chunked()
    exported = hx.export(net, (X,), tmp_path / "m.onnx")
    parts = hx.extract(tmp_path / "m.onnx", output=tmp_path / "parts", against=net)
    assert not parts.failed
    assert [(part.fqn, part.relative_error is None) for part in parts.modules] == [
        ("", False),
        ("pre", False),
        ("layer", True),
    ]
    (tmp_path / "m.onnx").unlink()  # what was done is told all the same
    report = hx.verify(exported, fail_over=1e-4)
    assert not report.failed
    assert [call.fqn for call in report.calls if call.local is None] == ["layer"]
    assert "which call is which is not known" in report.calls[2].reason
    assert exported.report.files[0].size_bytes > 0
