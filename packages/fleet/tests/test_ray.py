"""The same run on a Ray cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import hx
from hx.records.fleet import MEASURED

os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
ray = pytest.importorskip(
    "ray", reason="Ray is not installed: `uv run --group ray pytest packages/fleet/tests/test_ray.py`"
)
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


def test_a_cluster_gives_what_processes_give(copies: Callable[..., Path], tmp_path: Path) -> None:
    folder = copies(tmp_path / "models", "a", "b", "c", "crashes")
    (folder / "run.toml").write_text(
        'models = ["*.onnx"]\nsteps = ["validate", "steps.py:slow", "extract", "steps.py:judge"]\n'
    )
    (folder / "divided.toml").write_text("split_calls = 2\n" + (folder / "run.toml").read_text())
    alone = hx.fleet(folder / "run.toml", tmp_path / "alone")
    killed: list[int] = []

    def kill(text: str, done: int, total: int) -> None:
        """Kill a worker of Ray's, once, when it has work: the parent of a fork server of this run."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                name = Path(f"/proc/{parent}/cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if not killed and str(tmp_path / "ray").encode() in words and name.startswith(b"ray::"):
                killed.append(parent)
                os.kill(parent, signal.SIGKILL)

    found = hx.fleet(folder / "divided.toml", tmp_path / "ray", ray="local", progress=kill)
    assert killed
    assert len(list((tmp_path / "ray" / "logs").glob("*.2of2.log"))) == 4
    assert (found.finished, found.statuses, found.failures) == (4, alone.statuses, alone.failures)
    for name in ("steps.parquet", "calls.parquet"):
        one, two = (pq.read_table(tmp_path / place / name) for place in ("alone", "ray"))
        columns = [column for column in one.column_names if column not in MEASURED]
        assert one.select(columns).equals(two.select(columns))


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:1", "127.0.0.1:99999", "nobody.invalid:6379"])
def test_no_cluster(address: str, copies: Callable[..., Path], tmp_path: Path) -> None:
    folder = copies(tmp_path / "models", "a")
    with pytest.raises(hx.HxError) as caught:
        hx.fleet({"models": [str(folder / "a.onnx")], "steps": ["validate"]}, tmp_path / "run", ray=address)
    assert caught.value.code == "HX419"


def test_a_cluster_without_room() -> None:
    from hx_fleet import Unit
    from hx_fleet.engines.on_ray import _check_room

    unit = Unit("a", "a.onnx", memory_bytes=2000)
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4, "memory": 1000}},
        {"Alive": False, "Resources": {"CPU": 4, "memory": 9000}},
    ]
    with pytest.raises(hx.HxError, match="2000 bytes") as caught:
        _check_room(nodes, unit, 1)
    assert caught.value.code == "HX419"
    _check_room([{**nodes[1], "Alive": True}], unit, 4)
