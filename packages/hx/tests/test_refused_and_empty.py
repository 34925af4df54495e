"""Models that ONNX Runtime refuses as a whole, and models without nodes of their own: what can be compared is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import hx
from hx_sidecar_schema import HxError

X = torch.linspace(-1, 1, 8).reshape(2, 4)


@pytest.fixture
def refused() -> hx.Export:
    """Three calls in a row; ONNX Runtime does not know the operator of the second one."""
    exported = hx.export(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)), (X,), verify=False)
    next(node for node in exported.model.graph if node.op_type == "Tanh").op_type = "NoSuchOperator"
    return exported


def test_verify_compares_what_runs_alone_and_names_the_call_that_does_not(refused: hx.Export) -> None:
    report = hx.verify(refused)
    assert report.failed
    assert report.culprit is None
    assert report.refused is not None
    assert report.calls[report.refused].fqn == "1"
    assert "NoSuchOperator" in report.refusal
    assert "NoSuchOperator" in str(report)
    assert [call.fqn for call in report.calls if call.local is not None] == ["0", "2"]


def test_extract_writes_what_loads_and_runs_nothing_twice(
    refused: hx.Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[frozenset[str]] = []
    run = type(refused).run
    monkeypatch.setattr(type(refused), "run", lambda *args: (asked.append(frozenset(args[2])), run(*args))[1])
    report = hx.extract(refused, output=tmp_path / "parts")
    assert len(asked) == len(set(asked))
    written = {entry.fqn: entry for entry in report.modules if entry.file}
    assert written.keys() == {"0", "2"}
    assert written["0"].relative_error is not None
    assert "Not compared" in written["2"].reason
    assert (report.mismatches, report.refused) == (0, 2)
    said = "onnx: 1 of 2 equal, 1 not compared; 2 could not be cut out"
    assert str(report) == f"2 calls cut out of sequential.onnx, compared with {said}"


def test_what_differs_is_told_from_what_could_not_be_cut_out(refused: hx.Export, tmp_path: Path) -> None:
    """Of four calls one holds the operator, one is that operator, and of the two others one has another weight."""
    other = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    values = {
        name: torch.tensor(tensor.const_value.numpy()) for name, tensor in refused.model.graph.initializers.items()
    }
    values["0.bias"] += 1
    other.load_state_dict(values)
    report = hx.extract(refused, output=tmp_path / "parts", against=other)
    assert [entry.fqn for entry in report.modules if entry.failed] == ["", "0", "1"]
    assert (report.mismatches, report.refused, report.failed) == (1, 2, True)
    assert str(report).endswith("compared with pytorch: 1 of 2 equal, 1 differ; 2 could not be cut out")


def test_weights_are_shared_beside_the_exported_model_only_which_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hx._export.exported.EXTERNAL_DATA_BYTES", 1000)
    hx.export(nn.Sequential(nn.Linear(400, 400)), (torch.ones(2, 400),), tmp_path / "m.onnx")
    with pytest.raises(HxError, match=r"parts/Sequential\.onnx") as caught:
        hx.extract(tmp_path / "m.onnx", output=tmp_path / "parts", weights="share")
    assert caught.value.code == "HX210"
    assert "hx-writing" not in caught.value.message
    assert not hx.extract(tmp_path / "m.onnx", weights="share").failed


class Same(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class More(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def test_a_model_without_nodes_of_its_own_is_compared_by_its_outputs(tmp_path: Path) -> None:
    hx.export(Same(), (X,), tmp_path / "m.onnx")
    report = hx.verify(tmp_path / "m.onnx", lambda: (Same(), (X,)))
    assert (report.compared, report.failed) == (1, False)
    assert hx.verify(tmp_path / "m.onnx", lambda: (More(), (X,))).failed
