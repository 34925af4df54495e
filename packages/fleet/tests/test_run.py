"""A run: what becomes of every kind of model, and what is there afterwards."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import hx
from hx.records.fleet import MEASURED, CallRow, FleetChange, FleetReport, ModelResult, StepRow
from hx_fleet._units import RunFolder, Unit, clear, finish
from hx_fleet.results.baseline import changes_of
from hx_fleet.results.dataset import write_dataset

KINDS = ("good", "hogs", "crashes", "raises")
CALLS = [(None, None), ("", 0), ("block", 0), ("block", 1)]
STEPS = ["export", "validate", "analyze", "extract", "verify", "steps.py:judge", "suite"]


@pytest.fixture(scope="module")
def run(copies: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FleetReport]:
    folder = copies(tmp_path_factory.mktemp("run"), *KINDS)
    lines = [
        f"models = {json.dumps([f'{name}.onnx' for name in KINDS])}",
        f"steps = {json.dumps(STEPS)}",
        "retries = 1",
    ]
    (folder / "all.toml").write_text("\n".join([*lines, "timeout_s = 120", "memory_bytes = 600_000_000"]))
    return folder, hx.fleet(folder / "all.toml", folder / "out", workers=3)


def rows_of(folder: Path, name: str = "steps") -> list[dict[str, object]]:
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def test_failures_by_kind(run: tuple[Path, FleetReport]) -> None:
    folder, report = run
    found = {failure.models[0]: (failure.step, failure.kind, failure.cause) for failure in report.failures}
    assert found == {
        "hogs.onnx": ("steps.py:judge", "memory", "More than 600000000 bytes."),
        "crashes.onnx": ("steps.py:judge", "crash", "The process ended with signal 11, SIGSEGV, 2 times."),
        "raises.onnx": ("steps.py:judge", "exception", "ValueError: not 17 of them"),
    }
    logs = {failure.models[0]: (folder / "out" / failure.log).read_text() for failure in report.failures}
    assert "ValueError: not 17 of them" in logs["raises.onnx"]
    assert (report.models, report.finished, report.resumed, report.good) == (4, 4, 0, False)
    assert report.statuses["export"] == {"skipped": 4}
    assert report.statuses["verify"] == {"skipped": 4}
    assert report.statuses["extract"] == {"passed": 4}
    assert report.statuses["suite"] == {"passed": 2, "skipped": 2}
    assert "but more" in next((folder / "out" / "logs").glob("raises*")).read_text()


def test_a_model_that_takes_too_long(copies: Callable[..., Path], tmp_path: Path) -> None:
    folder = copies(tmp_path / "models", "sleeps")
    fields = {"models": [folder / "sleeps.onnx"], "steps": [f"{folder}/steps.py:judge", "validate"], "timeout_s": 1}
    report = hx.fleet(fields, tmp_path / "run")
    assert [(failure.kind, failure.cause) for failure in report.failures] == [("timeout", "Not done after 1 s.")]
    assert report.statuses["validate"] == {"skipped": 1}
    slow, skipped = rows_of(tmp_path / "run")
    assert slow["seconds"] is not None
    assert skipped["cause"] == "The process had ended: timeout."


def test_rows_of_steps_and_calls(run: tuple[Path, FleetReport]) -> None:
    folder, _ = run
    steps = {(row["model"], row["step"]): row for row in rows_of(folder / "out")}
    assert len(steps) == len(rows_of(folder / "out")) == len(KINDS) * len(STEPS)
    good = {step: steps["good.onnx", step] for step in STEPS}
    assert (good["validate"]["nodes"], good["validate"]["findings"]) == (3, 0)
    assert (good["analyze"]["macs"], good["analyze"]["covered_percent"]) == (96, 100)
    assert (good["extract"]["compared"], good["extract"]["differing"]) == (4, 0)
    assert (good["suite"]["cases"], good["steps.py:judge"]["facts"]) == (4, '{"calls": 4}')
    calls = [row for row in rows_of(folder / "out", "calls") if row["model"] == "crashes.onnx"]
    assert [(row["fqn"], row["status"], row["macs"], row["wrong"]) for row in calls] == [
        *(("", "extractable", 96, False), ("0", "extractable", 64, False)),
        *(("1", "extractable", 0, False), ("2", "extractable", 32, False)),
    ]
    assert len({row["form"] for row in calls}) == 4


def test_a_page_that_runs_nothing(run: tuple[Path, FleetReport]) -> None:
    page = (run[0] / "out" / "summary.html").read_text()
    assert "<script" not in page
    assert "SIGSEGV" in page
    assert page.count("<tr>") > len(KINDS)


def test_again_nothing_runs_and_only_failed_ones_do(run: tuple[Path, FleetReport], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(run[0], folder)
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "out" / "results").iterdir()}
    again = hx.fleet(folder / "all.toml", folder / "out")
    assert (again.resumed, again.failures) == (4, run[1].failures)
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "out" / "results").iterdir()} == before
    (folder / "steps.py").write_text("def judge(task):\n    return {}\n")
    mended = hx.fleet(folder / "all.toml", folder / "out", only="failed")
    assert (mended.resumed, mended.failures, mended.good) == (1, [], True)
    changed = {
        path.name for path in (folder / "out" / "results").iterdir() if path.stat().st_mtime_ns != before[path.name]
    }
    assert {name.partition(".")[0] for name in changed} == set(KINDS) - {"good"}


def test_options_and_functions_of_the_folder_of_the_run(
    copies: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths and modules are found from there, and no file of the current folder hides a module."""
    folder = copies(tmp_path / "models", "a")
    np.savez(folder / "in.npz", input=np.full((2, 4), 3, np.float32))
    (folder / "checks").mkdir()
    (folder / "checks" / "mine.py").write_text("def own(task):\n    return task.options\n")
    fields = {"steps": ["validate", "analyze", "extract", "checks.mine:own"]}
    options = {"extract": {"inputs": "in.npz"}, "analyze": {"fail_under": 101}, "checks.mine:own": {"inputs": "in.npz"}}
    lines = ["models = ['a.onnx']", f"steps = {json.dumps(fields['steps'])}"]
    for step, given in options.items():
        lines += [f"[options.{json.dumps(step)}]", *(f"{name} = {json.dumps(value)}" for name, value in given.items())]
    (folder / "run.toml").write_text("\n".join(lines))
    (tmp_path / "random.py").write_text("raise RuntimeError('not of Python')\n")
    monkeypatch.chdir(tmp_path)
    report = hx.fleet("models/run.toml", "out")
    rows = {str(row["step"]): row for row in rows_of(tmp_path / "out")}
    assert {step: row["status"] for step, row in rows.items()} == {
        **dict.fromkeys(fields["steps"], "passed"),
        "analyze": "wrong",
    }, report.failures
    assert rows["analyze"]["cause"] == "100 % covered, below 101 %"
    assert rows["checks.mine:own"]["facts"] == '{"inputs": "in.npz"}'


def test_every_call_has_a_row_and_a_change_names_it(copies: Callable[..., Path], tmp_path: Path) -> None:
    folder = copies(tmp_path / "models", "a")
    hx.fleet({"models": [str(folder / "a.onnx")], "steps": ["validate"]}, tmp_path / "run")
    assert [row["fqn"] for row in rows_of(tmp_path / "run", "calls")] == ["", "0", "1", "2"]
    calls = [FleetChange(model="m", fqn=fqn, call=call, what="form", before="a", after="b") for fqn, call in CALLS]
    assert [change.module for change in calls] == ["", "the model itself", "block", "block@1"]


def test_a_pytorch_model_goes_all_the_way(tmp_path: Path) -> None:
    factory = (
        "import torch\ndef made():\n    torch.manual_seed(0)\n    return torch.nn.Linear(4, 3), (torch.ones(2, 4),)\n"
    )
    (tmp_path / "models.py").write_text(factory)
    fields = {
        "models": [str(tmp_path / "models.py:made")],
        "steps": ["export", "verify", "profile"],
        "options": {"export": {"dynamic": True}, "profile": {"runs": 2}},
    }
    report = hx.fleet(fields, tmp_path / "run")
    assert report.good, report.failures
    (row,) = rows_of(tmp_path / "run", "calls")
    assert row["local_error"] is not None
    assert row["typical_us"] is not None
    (model,) = (tmp_path / "run" / "artefacts").glob("*/model.onnx")
    assert hx.validate(model).valid
    (name,) = hx.load(model).model.graph.inputs
    assert not isinstance(name.shape[0], int)


def test_a_baseline_tells_what_changed(copies: Callable[..., Path], tmp_path: Path) -> None:
    import torch

    folder = copies(tmp_path / "models", "same", "other")
    fields = {"models": [str(folder / "*.onnx")], "steps": ["validate", "extract"]}
    hx.fleet(fields, tmp_path / "before", workers=1)
    for path in folder.glob("other*"):
        path.unlink()
    torch.manual_seed(0)
    layers = torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
    hx.export(torch.nn.Sequential(*layers), (torch.ones(2, 4),), folder / "other.onnx")
    report = hx.fleet(fields, tmp_path / "after", workers=1, baseline=tmp_path / "before")
    assert {(Path(change.model).name, change.fqn, change.what) for change in report.changes} == {
        ("other.onnx", "", "form"),
        ("other.onnx", "1", "form"),
    }
    assert not report.good
    assert not report.failures
    with pytest.raises(hx.HxError) as caught:
        hx.fleet(fields, tmp_path / "after", baseline=folder)
    assert caught.value.code == "HX417"


@pytest.mark.parametrize(
    ("baseline", "says"),
    [
        *(("run", "is the run itself"), ("other", "has none of the models"), ("cut", "is no run")),
        ("steps", "none of the steps of the run: validate"),
    ],
)
@pytest.mark.parametrize("shard", [None, "2/2"])
def test_a_baseline_that_tells_nothing(baseline: str, says: str, shard: str | None, tmp_path: Path) -> None:
    for name, model in (("run", "a.onnx"), ("other", "b.onnx"), ("cut", "a.onnx"), ("steps", "a.onnx")):
        (tmp_path / name).mkdir()
        step = StepRow(model=model, step="suite" if name == "steps" else "validate", status="passed")
        write_dataset([ModelResult(unit="1", model=model, steps=[step], calls=[])], tmp_path / name)
    (tmp_path / "cut" / "calls.parquet").write_bytes(b"PAR1")
    before = sorted(tmp_path.rglob("*"))
    fields = {"models": ["a.onnx"], "steps": ["validate"]}
    with pytest.raises(hx.HxError, match=says) as caught:
        hx.fleet(fields, tmp_path / "run", baseline=tmp_path / baseline, shard=shard)
    assert caught.value.code == "HX417"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_of_another_exporter_and_its_pytorch_model(tmp_path: Path) -> None:
    import torch

    factory = (
        "import torch\ndef made():\n    torch.manual_seed(0)\n    return torch.nn.Linear(4, 3), (torch.ones(2, 4),)\n"
    )
    (tmp_path / "models.py").write_text(factory)
    torch.manual_seed(0)
    torch.onnx.export(torch.nn.Linear(4, 3).eval(), (torch.ones(2, 4),), tmp_path / "foreign.onnx", verbose=False)
    (tmp_path / "list.csv").write_text("model,against\nforeign.onnx,models.py:made\n")
    fields = {"models": [str(tmp_path / "list.csv")], "steps": ["project", "validate", "verify", "extract"], "keep": []}
    report = hx.fleet(fields, tmp_path / "run")
    assert report.good, report.failures
    assert report.statuses["verify"] == {"passed": 1}
    assert not (tmp_path / "run" / "artefacts").exists()
    assert not (tmp_path / "foreign_hierarchy.json").exists()


def test_numbers_and_time_beside_a_baseline(tmp_path: Path) -> None:
    def written(
        name: str, *, error: float, own_us: tuple[float, float], wrong: bool = False, other: float | None = None
    ) -> Path:
        fixed: dict[str, Any] = {
            "model": "m",
            "call": 0,
            "tag": "/M",
            "class_name": "M",
            "status": "extractable",
            "reason": "",
        }
        calls = [
            CallRow(**fixed, fqn="", typical_us=sum(own_us), own_us=0, spread_us=1),
            CallRow(**fixed, fqn="a", typical_us=own_us[0], own_us=own_us[0], local_error=error, wrong=wrong),
            CallRow(**fixed, fqn="b", typical_us=own_us[1], own_us=own_us[1], local_error=other),
        ]
        step = StepRow(model="m", step="verify", status="wrong" if wrong else "passed")
        (tmp_path / name).mkdir()
        write_dataset([ModelResult(unit="m-1", model="m", steps=[step], calls=calls)], tmp_path / name)
        return tmp_path / name

    before = written("before", error=1e-7, own_us=(100, 100))
    assert changes_of(before, written("equal", error=9e-7, own_us=(110, 95))) == []
    found = changes_of(before, written("other", error=2e-3, own_us=(100, 300), wrong=True))
    assert [(change.fqn, change.what, change.before, change.after) for change in found] == [
        (None, "step", "verify passed", "verify wrong"),
        ("", "time", "200 us", "400 us"),
        ("a", "numbers", "local_error 1.0e-07", "local_error 2.0e-03"),
        ("a", "numbers", "right", "wrong"),
        ("b", "time", "100 us", "300 us"),
    ]
    numbers = written("numbers", error=1e-7, own_us=(100, 100), other=1e-7)
    for nan in (math.nan, math.inf):
        (change,) = changes_of(numbers, written(str(nan), error=1e-7, own_us=(100, 100), other=nan))
        assert (change.fqn, change.before, change.after) == ("b", "local_error 1.0e-07", "local_error none")


def test_shards_copied_together_are_one_run(copies: Callable[..., Path], tmp_path: Path) -> None:
    folder = copies(tmp_path / "models", "a", "b", "c")
    fields = {"models": [str(folder / "*.onnx")], "steps": ["validate"]}
    whole = hx.fleet(fields, tmp_path / "whole")
    assert whole.good
    for shard in ("1/2", "2/2"):
        part = hx.fleet(fields, tmp_path / shard[0], shard=shard)
        assert part.good
        shutil.copytree(tmp_path / shard[0], tmp_path / "joined", dirs_exist_ok=True)
    joined = hx.fleet(fields, tmp_path / "joined")
    assert (joined.resumed, joined.good) == (3, True)
    one, two = (
        pq.read_table(tmp_path / name / "steps.parquet").drop(["started", "seconds", "cpu_seconds", "memory_bytes"])
        for name in ("whole", "joined")
    )
    assert one.equals(two)
    assert {"started", "seconds", "cpu_seconds", "memory_bytes"} <= MEASURED


def test_a_folder_of_other_things_or_versions(exported: Path, tmp_path: Path) -> None:
    fields = {"models": [str(exported / "model.onnx")], "steps": ["validate"]}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(hx.HxError, match="other things") as caught:
        hx.fleet(fields, tmp_path / "mine")
    assert caught.value.code == "HX417"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]
    hx.fleet(fields, tmp_path / "run")
    noted = tmp_path / "run" / "run.json"
    noted.write_text(noted.read_text().replace('"torch": "', '"torch": "0.'))
    with pytest.raises(hx.HxError, match=r"begun with torch 0\.") as caught:
        hx.fleet(fields, tmp_path / "run")
    assert caught.value.code == "HX417"
    noted.write_text("{")
    with pytest.raises(hx.HxError, match="not of a run") as caught:
        hx.fleet(fields, tmp_path / "run")
    assert caught.value.code == "HX417"
    assert hx.fleet(fields, tmp_path / "run", overwrite=True).resumed == 0
    (result,) = (tmp_path / "run" / "results").iterdir()
    result.write_bytes(result.read_bytes()[:100])
    with pytest.raises(hx.HxError, match="no result") as caught:
        hx.fleet(fields, tmp_path / "run")
    assert caught.value.code == "HX417"
    (tmp_path / "run" / "notes.txt").touch()
    assert hx.fleet(fields, tmp_path / "run", overwrite=True).good
    names = {"run.json", "run.lock", "notes.txt", "steps.parquet", "calls.parquet", "summary.html", "results", "logs"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == names


def test_no_other_driver_begins_before_the_last_one_is_done(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"models": [str(exported / "model.onnx")], "steps": ["validate"]}
    remove, codes = shutil.rmtree, list[str]()

    def begin(path: Path, **options: Any) -> None:
        if path == tmp_path / "run" / "working":
            with pytest.raises(hx.HxError) as caught:
                hx.fleet(fields, tmp_path / "run")
            codes.append(caught.value.code)
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", begin)
    hx.fleet(fields, tmp_path / "run")
    assert codes == ["HX418"]


def test_a_unit_is_finished_from_where_its_process_was_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = tuple((name, name, dict[str, Any]()) for name in ("export", "extract"))
    unit, folder, over = Unit("m", "m.onnx", steps=steps, keep=["export"]), RunFolder(tmp_path), ("timeout", "Over.")

    def worked(steps: int) -> None:
        """Leave what a process leaves after so many steps."""
        clear(unit, folder)
        (folder.working(unit.id) / "parts").mkdir(parents=True)
        (folder.working(unit.id) / "model.onnx").touch()
        rows = [StepRow(model="m", step=name, status="passed") for name, _, _ in unit.steps[:steps]]
        entries = ({"row": row.model_dump(mode="json"), "calls": []} for row in rows)
        folder.journal(unit.id).write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))

    def found() -> tuple[list[tuple[str, str]], list[str]]:
        result = folder.read(unit.id)
        assert result is not None
        return [(row.status, row.cause) for row in result.steps], [
            path.name for path in folder.artefacts(unit.id).iterdir()
        ]

    worked(1)
    with pytest.raises(RuntimeError, match="has 1 of 2 steps"):
        finish(unit, folder)
    finish(unit, folder, over)
    assert found() == ([("passed", ""), ("failed", "Over.")], ["model.onnx"])
    worked(2)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *_: {}["ended"])
        with pytest.raises(KeyError):  # between its two renames
            finish(unit, folder)
    finish(unit, folder, over)
    assert found() == ([("passed", ""), ("passed", "")], ["model.onnx"])
