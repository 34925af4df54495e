"""The calls of one model, divided among several units."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import hx
from hx.records.fleet import MEASURED

TOWER = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)

    def forward(self, x):
        return self.norm(self.inner(x).relu())


def tower():
    torch.manual_seed(0)
    return nn.Sequential(Block(), Block(), Block()).eval(), (torch.randn(2, 4),)
"""
FIELDS = {
    "steps": ["validate", "analyze", "extract", "verify", "profile_isolated"],
    "keep": ["extract", "profile_isolated"],
    "options": {"profile_isolated": {"runs": 1, "warmup": 0}},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that is right, one with a wrong weight, and the function that makes both."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "tower.py").write_text(TOWER)
    for name in ("right", "wrong"):
        hx.export(f"{folder}/tower.py:tower", f=folder / f"{name}.onnx")
    model = onnx.load(folder / "wrong.onnx")
    (weight,) = [tensor for tensor in model.graph.initializer if tensor.name == "1.inner.bias"]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(0.5), weight.name))
    onnx.save(model, folder / "wrong.onnx")
    return folder


def run_of(models: Path, **fields: object) -> dict[str, object]:
    named = [
        {"model": str(models / f"{name}.onnx"), "against": f"{models}/tower.py:tower"} for name in ("right", "wrong")
    ]
    return {**FIELDS, "models": named, **fields}


@pytest.fixture(scope="module")
def whole(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in which each model is one unit."""
    output = tmp_path_factory.mktemp("run") / "whole"
    hx.fleet(run_of(models), output)
    return output


def check_equal(one: Path, other: Path) -> None:
    for name in ("steps.parquet", "calls.parquet"):
        tables = [pq.read_table(folder / name) for folder in (one, other)]
        columns = [column for column in tables[0].column_names if column not in MEASURED]
        rows = [table.select(columns).to_pylist() for table in tables]
        assert rows[0] == rows[1]
    files = [sorted(path.relative_to(folder) for path in (folder / "artefacts").rglob("*")) for folder in (one, other)]
    assert files[0] == files[1]
    for path in files[0]:
        if path.suffix == ".json":
            assert untimed(json.loads((one / path).read_text())) == untimed(json.loads((other / path).read_text()))


def untimed(record: Any) -> Any:
    """Return a record without its times."""
    if isinstance(record, list):
        return [untimed(entry) for entry in record]
    if isinstance(record, dict):
        return {name: untimed(entry) for name, entry in record.items() if not name.endswith("_us")}
    return record


def test_the_rows_are_those_of_one_unit(models: Path, whole: Path, tmp_path: Path) -> None:
    report = hx.fleet(run_of(models, split_calls=3), tmp_path / "run")
    assert report.statuses["verify"] == {"passed": 1, "wrong": 1}
    assert (report.models, report.finished) == (2, 2)
    check_equal(whole, tmp_path / "run")
    assert len(list((tmp_path / "run" / "results").iterdir())) == 2
    times = pq.read_table(tmp_path / "run" / "calls.parquet", columns=["in_model_us", "alone_us"]).to_pylist()
    assert all(None not in time.values() for time in times)


def test_what_could_not_be_cut_out_is_told_from_what_differs(tmp_path: Path) -> None:
    layers = nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)
    exported = hx.export(nn.Sequential(*layers), (torch.ones(2, 4),), verify=False)
    next(node for node in exported.model.graph if node.op_type == "Tanh").op_type = "NoSuchOperator"
    exported.save(tmp_path / "refused.onnx")
    for split in (1, 2):
        fields = {"models": [str(tmp_path / "refused.onnx")], "steps": ["extract"], "split_calls": split}
        hx.fleet(fields, tmp_path / f"run{split}")
        (row,) = pq.read_table(tmp_path / f"run{split}" / "steps.parquet").to_pylist()
        assert [row[name] for name in ("calls", "compared", "differing", "refused")] == [4, 1, 0, 2]
        assert row["status"] == "wrong"
        assert "NoSuchOperator" in row["cause"]


@pytest.mark.skipif(sys.platform != "linux", reason="it ends with its parent there")
def test_a_driver_that_is_killed(models: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    code = f"import hx; hx.fleet({run_of(models, split_calls=3)!r}, {str(output)!r}, workers=1)"
    kept: dict[Path, int] = {}
    for done in (2, 5, 7, None):  # of 6 shares and 2 models
        driver = subprocess.Popen([sys.executable, "-c", code])
        while done and driver.poll() is None and len(list((output / "results").glob("*.json"))) < done:
            time.sleep(0.01)
        if done is not None:
            driver.kill()
        driver.wait()
        now = {path: path.stat().st_mtime_ns for path in (output / "results").glob("*.json")}
        assert all(now[path] == at for path, at in kept.items() if path in now)
        kept = now
    check_equal(whole, output)


def test_only_a_file_is_divided(tmp_path: Path) -> None:
    with pytest.raises(hx.HxError) as caught:
        hx.fleet({"models": ["tiny:bert"], "split_calls": 2}, tmp_path / "run")
    assert caught.value.code == "HX406"


def test_a_share_that_fails_is_the_failure_of_the_step(models: Path, tmp_path: Path) -> None:
    fields = run_of(models, steps=["extract", "verify"], split_calls=2, options={"verify": {"memory_bytes": 1}})
    report = hx.fleet(fields, tmp_path / "run")
    assert report.statuses["verify"] == {"failed": 2}
    assert {failure.code for failure in report.failures if failure.step == "verify"} == {"HX420"}


def test_a_share_that_fails_before_its_unit_runs(models: Path, tmp_path: Path) -> None:
    """It is told, with its log; once mended it is done again, and leaves nothing however many shares there are then."""
    factory = tmp_path / "factory.py"
    factory.write_text("def tower():\n    raise ValueError('no weights')\n")
    named = [{"model": str(models / "right.onnx"), "against": f"{factory}:tower"}]
    fields = {"models": named, "steps": ["verify"], "split_calls": 2}
    report = hx.fleet(fields, tmp_path / "run", workers=1, fail_fast=True)
    assert (report.finished, [failure.code for failure in report.failures]) == (0, ["HX105"])
    assert "no weights" in (tmp_path / "run" / report.failures[0].log).read_text()
    factory.write_text(TOWER)
    for split_calls in (2, 1):
        output = tmp_path / f"of{split_calls}"
        shutil.copytree(tmp_path / "run", output)
        mended = hx.fleet({**fields, "split_calls": split_calls}, output, only="failed")
        assert mended.good, mended.failures
        assert len(list((output / "results").iterdir())) == 1
