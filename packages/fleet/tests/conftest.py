"""Models as files, and functions that are steps: no test but one needs torch in a process of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

STEPS = '''
import os, shutil, signal, subprocess, sys, time
from pathlib import Path


def judge(task):
    """Do to its own process what the model's name says."""
    name = Path(task.name).stem
    if name == "sleeps":
        time.sleep(60)
    if name == "hogs":
        memory = [b"x" * (50_000_000 + place) for place in range(100)]
        time.sleep(60)
    if name == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "raises":
        raise ValueError("not 17 of them\\nbut more")
    return {"calls": len(task.hierarchy())}


class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def unruly(task):
    """Leave the process otherwise than a step should, as the model's name says."""
    name = Path(task.name).stem
    if name == "ends":
        os._exit(0)
    if name == "signal":
        os.kill(os.getpid(), signal.SIGRTMIN + 1)
    if name == "exits":
        sys.exit("no licence")
    if name == "odd":
        raise Odd
    if name == "bytes":
        raise ValueError(os.fsdecode(b"no file \\xff"))
    if name == "nan":
        return {"mean": float("nan"), "sums": [float("inf"), 1.5]}
    if name == "starts":
        return subprocess.Popen(["sleep", "60"]).pid
    if name == "daemon":
        if os.fork() == 0:
            os.setsid()
            task.path.with_suffix(".pid").write_text(str(os.getpid()))
            time.sleep(60)
            os._exit(0)
        os._exit(3)
    if name == "forks":
        os.fork()
    if name == "waits" and not (mark := task.path.with_suffix(".pid")).exists():
        left = subprocess.Popen(["sleep", "60"])
        mark.write_text(str(left.pid))
        left.wait()
    if name == "goes":
        os.chdir(task.path.parent / "elsewhere")
    if name == "mute":
        sys.stdout = sys.stderr = None
    if name == "closes":
        sys.stdout.close()
        os.close(1)
    if name == "removes":
        shutil.rmtree(os.getcwd())
    if name == "prints":
        sys.stdout.buffer.write(bytes(range(256)))


def slow(task):
    """Take a moment; the model m7 waits to be killed, once."""
    time.sleep(0.3)
    mark = task.path.with_suffix(".pid")
    if mark.stem == "m7" and not mark.exists():
        mark.write_text(str(os.getpid()))
        time.sleep(60)
'''


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one export."""
    import torch

    import hx

    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    layers = torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
    hx.export(torch.nn.Sequential(*layers), (torch.ones(2, 4),), folder / "model.onnx")
    (folder / "steps.py").write_text(STEPS)
    return folder


@pytest.fixture(scope="session")
def copies(exported: Path) -> Callable[..., Path]:
    """Put the export into a folder under several names, with its sidecar and the steps; return the folder."""

    def copy(folder: Path, *names: str) -> Path:
        folder.mkdir(exist_ok=True)
        for name in names:
            for source in exported.glob("model*"):
                text = source.read_bytes().replace(b'"model.onnx"', f'"{name}.onnx"'.encode())
                (folder / source.name.replace("model", name, 1)).write_bytes(text)
        shutil.copy(exported / "steps.py", folder)
        return folder

    return copy
