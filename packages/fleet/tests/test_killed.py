"""Processes that are killed: the driver, the one that watches, and one that runs a model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import hx
from hx.records.fleet import MEASURED

NAMES = [f"m{place}" for place in range(8)]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.fixture
def run(copies: Callable[..., Path], tmp_path: Path) -> Path:
    folder = copies(tmp_path / "models", *NAMES)
    path = folder / "run.toml"
    path.write_text('models = ["*.onnx"]\nsteps = ["validate", "steps.py:slow", "extract"]\nretries = 5\n')
    return path


def started(run: Path, output: Path) -> subprocess.Popen[bytes]:
    code = f"import hx; hx.fleet({str(run)!r}, {str(output)!r}, workers=2)"
    return subprocess.Popen([sys.executable, "-c", code])


def workers(output: Path) -> dict[int, int]:
    """Processes of a run without its driver, with their parents."""
    found: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"hx_fleet.worker.fork_server" in words and str(output).encode() in words:
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def has_ended(pid: str) -> bool:
    left = Path("/proc", pid, "stat")
    return not left.exists() or left.read_text().rpartition(") ")[2][0] == "Z"


def done(output: Path) -> int:
    return len(list((output / "results").glob("*.json")))


def test_nothing_is_lost_and_nothing_is_there_twice(run: Path, tmp_path: Path) -> None:
    mark = run.with_name("m7.pid")
    mark.touch()
    hx.fleet(run, tmp_path / "alone", workers=2)
    mark.unlink()
    output = tmp_path / "killed"
    driver = started(run, output)
    until(lambda: done(output) >= 1)
    driver.kill()
    driver.wait()
    until(lambda: not workers(output))  # they end with it
    assert 1 <= done(output) < len(NAMES)
    kept = {path.name: path.stat().st_mtime_ns for path in (output / "results").iterdir()}
    driver = started(run, output)
    until(lambda: len(workers(output)) >= 2)
    (server,) = (pid for pid, parent in workers(output).items() if parent == driver.pid)
    os.kill(server, signal.SIGKILL)
    until(lambda: server not in workers(output) and len(workers(output)) >= 2)
    until(lambda: mark.exists() and mark.read_text())
    os.kill(int(mark.read_text()), signal.SIGKILL)
    assert driver.wait(60) == 0
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in (output / "results").iterdir()}.items()
    for name in ("steps.parquet", "calls.parquet"):
        one, two = (pq.read_table(tmp_path / place / name) for place in ("alone", "killed"))
        columns = [column for column in one.column_names if column not in MEASURED]
        assert one.num_rows >= 3 * len(NAMES)
        assert one.select(columns).equals(two.select(columns))
    attempts = pq.read_table(output / "steps.parquet")["attempts"].to_pylist()
    assert attempts[-3:] == [2, 2, 2]
    assert not (output / "working").exists()


def test_a_disk_that_is_full(copies: Callable[..., Path], tmp_path: Path) -> None:
    """Files take so many bytes at most: too few for anything, enough for the versions, enough for results."""
    fields = {"models": [str(copies(tmp_path / "models", "a", "b") / "*.onnx")], "steps": ["validate"], "retries": 0}
    for limit, results in ((10, 0), (600, 0), (5000, 2)):
        code = f"import resource, hx; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
        code += f"\nhx.fleet({fields!r}, {str(tmp_path / 'run')!r})"
        full = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "File too large" in full.stderr
        assert "HX306: Make room" in full.stderr
        assert done(tmp_path / "run") == results
    report = hx.fleet(fields, tmp_path / "run")
    assert (report.resumed, report.good) == (2, True)


def test_one_driver_at_a_time(run: Path, tmp_path: Path) -> None:
    driver = started(run, tmp_path / "run")
    until(lambda: (tmp_path / "run" / "run.json").exists())
    with pytest.raises(hx.HxError) as caught:
        hx.fleet(run, tmp_path / "run")
    assert caught.value.code == "HX418"
    driver.kill()
    driver.wait()


def test_fail_fast_leaves_the_others(copies: Callable[..., Path], tmp_path: Path) -> None:
    folder = copies(tmp_path / "models", "a_raises", *NAMES)
    text = (folder / "steps.py").read_text().replace('name == "raises"', 'name == "a_raises"')
    (folder / "steps.py").write_text(text)
    fields = {"models": [str(folder / "*.onnx")], "steps": [f"{folder}/steps.py:judge", f"{folder}/steps.py:slow"]}
    report = hx.fleet(fields, tmp_path / "run", workers=1, fail_fast=True)
    assert report.finished < report.models
    assert not report.good
    assert [failure.kind for failure in report.failures] == ["exception"]
    until(lambda: not workers(tmp_path / "run"))
    rows = pq.read_table(tmp_path / "run" / "steps.parquet").to_pylist()
    assert len(rows) == 2 * report.finished
    assert json.loads((tmp_path / "run" / "run.json").read_text())["versions"]["torch"]


def test_what_a_step_does_to_its_process_is_of_its_model_alone(
    copies: Callable[..., Path], exported: Path, tmp_path: Path
) -> None:
    crash, raised = "The process ended with", "exception"
    causes = {
        "daemon": ("crash", f"{crash} exit code 3, 1 time."),
        "ends": ("crash", f"{crash} exit code 0, 1 time."),
        "signal": ("crash", f"{crash} signal {signal.SIGRTMIN + 1}, 1 time."),
        "exits": (raised, "SystemExit: no licence"),
        "odd": (raised, "Odd: <exception str() failed>"),
        "bytes": (raised, "ValueError: no file \\udcff"),
        "removes": (raised, "FileNotFoundError: The folder in which the model's process works is gone."),
    }
    facts = {
        "nan": '{"mean": null, "sums": [null, 1.5]}',
        **dict.fromkeys(("goes", "prints", "forks", "mute", "closes"), "null"),
    }
    folder = copies(tmp_path / "models", *causes, *facts, "starts")
    shutil.copytree(exported, folder / "elsewhere")
    before = sorted((folder / "elsewhere").iterdir())
    steps = [f"{folder}/steps.py:unruly", "extract", "validate"]
    fields = {"models": [str(folder / "*.onnx")], "steps": steps, "keep": [], "retries": 0}
    report = hx.fleet(fields, tmp_path / "run")
    os.kill(int((folder / "daemon.pid").read_text()), signal.SIGKILL)  # nobody waited for its end
    assert report.finished == report.models
    rows = {
        Path(row["model"]).stem: row
        for row in pq.read_table(tmp_path / "run" / "steps.parquet").to_pylist()
        if row["step"] == steps[0]
    }
    assert {name: (rows[name]["kind"], rows[name]["cause"]) for name in causes} == causes
    assert {name: rows[name]["facts"] for name in facts} == facts
    assert report.statuses["extract"] == {"passed": 11, "skipped": 3}
    assert sorted((folder / "elsewhere").iterdir()) == before
    assert not any(path.stat().st_mode & 0o111 for path in (tmp_path / "run" / "logs").iterdir())
    until(lambda: has_ended(rows["starts"]["facts"]))


def test_what_a_step_started_ends_with_the_one_that_watches(copies: Callable[..., Path], tmp_path: Path) -> None:
    folder = copies(tmp_path / "models", "waits")
    (folder / "run.toml").write_text('models = ["waits.onnx"]\nsteps = ["steps.py:unruly"]\n')
    driver = started(folder / "run.toml", tmp_path / "run")
    mark = folder / "waits.pid"
    until(lambda: mark.exists() and mark.read_text())
    (server,) = (pid for pid, parent in workers(tmp_path / "run").items() if parent == driver.pid)
    os.kill(server, signal.SIGKILL)
    until(lambda: has_ended(mark.read_text()))
    assert driver.wait(60) == 0
