"""Commands over old files that are killed at a system call that writes, and what must hold then. Linux on x86-64."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnxruntime
import torch

import hx
from hx_sidecar_schema import finish_writes

CAN_TRACE = sys.platform == "linux" and platform.machine() == "x86_64"
_TRACE_ME, _PEEK, _CONTINUE, _SYSCALL, _OPTIONS = 0, 3, 7, 24, 0x4200
_RDX, _RDI, _NUMBER = 12 * 8, 14 * 8, 15 * 8  # in struct user_regs_struct
_WRITES = {
    1: "write", 18: "pwrite64", 20: "writev", 40: "sendfile", 77: "ftruncate", 82: "rename", 83: "mkdir", 84: "rmdir",
    87: "unlink", 257: "openat", 258: "mkdirat", 263: "unlinkat", 264: "renameat", 285: "fallocate", 316: "renameat2",
    326: "copy_file_range",
}  # fmt: skip


def killed_at(moment: int | None, act: Callable[[], object]) -> tuple[str, int]:
    """Run something in a forked process that dies before its write of this number; None: it ends.

    Returns:
        Which system call it was, `ended` for none; and how many went before.
    """
    trace = ctypes.CDLL(None, use_errno=True).ptrace
    trace.argtypes, trace.restype = [ctypes.c_long] * 4, ctypes.c_long
    child = os.fork()
    if child == 0:
        try:
            trace(_TRACE_ME, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            act()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    trace(_OPTIONS, child, 0, 1)  # a stop at a system call has bit 7 set
    entering, seen, passed_on = True, 0, 0
    while True:
        trace(_SYSCALL, child, 0, passed_on)
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            return "ended", seen
        stopped = os.WSTOPSIG(status)
        passed_on = 0 if stopped & 0x80 else stopped
        if passed_on:
            continue
        name = _WRITES.get(trace(_PEEK, child, _NUMBER, 0)) if entering else None
        entering = not entering
        if name == "openat" and not trace(_PEEK, child, _RDX, 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            continue
        if name is None or (name == "write" and trace(_PEEK, child, _RDI, 0) <= 2):
            continue
        if seen == moment:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return name, seen
        seen += 1


class _Block(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc, self.gate = torch.nn.Linear(width, width), torch.nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).relu() * self.gate(x)


def _export(seed: int) -> hx.Export:
    torch.manual_seed(seed)
    return hx.export(torch.nn.Sequential(_Block(8), _Block(8)).eval(), (torch.ones(2, 8),), verify=False)


def export_over(folder: Path) -> Callable[[], object]:
    """An export over an old one of other weights."""
    _export(0).save(folder / "net.onnx")
    new = _export(1)
    return lambda: new.save(folder / "net.onnx", overwrite=True)


def extract_all_over(folder: Path) -> Callable[[], object]:
    """All parts of an export over those of another one."""
    _export(0).save(folder / "old.onnx")
    _export(1).save(folder / "new.onnx")
    hx.extract(folder / "old.onnx", None, folder / "parts")
    return lambda: hx.extract(folder / "new.onnx", None, folder / "parts", overwrite=True, verify=False)


def extract_one_over(folder: Path) -> Callable[[], object]:
    """One part over that of another export."""
    _export(0).save(folder / "old.onnx")
    _export(1).save(folder / "new.onnx")
    hx.extract(folder / "old.onnx", "0", folder / "part.onnx")
    return lambda: hx.extract(folder / "new.onnx", "0", folder / "part.onnx", overwrite=True, verify=False)


def relink_over(folder: Path) -> Callable[[], object]:
    """A sidecar over one of the same model."""
    _export(0).save(folder / "net.onnx")
    shutil.copyfile(folder / "net.onnx", folder / "copy.onnx")
    hx.relink(folder / "copy.onnx", folder / "net.onnx")
    return lambda: hx.relink(folder / "copy.onnx", folder / "net.onnx", overwrite=True)


SCENES: tuple[Callable[[Path], Callable[[], object]], ...] = (
    export_over,
    extract_all_over,
    extract_one_over,
    relink_over,
)


def kills(scene: Callable[[Path], Callable[[], object]], place: Path, *, most: int) -> Counter[str]:
    """Kill a command at up to so many of its writes, evenly chosen, and check what is left; return where it was killed.

    Every model that is there gives the numbers of the old files or of the new ones, with a sidecar of its own. The next
    command that looks into the folder leaves the old files or the new ones, and nothing else.
    """
    with patch("hx_graph._weights.LARGE_BYTES", 0), patch("hx._export.exported.EXTERNAL_DATA_BYTES", 0):
        start = place / "start"
        start.mkdir(parents=True)
        act = scene(start)
        kept = place / "kept"
        shutil.copytree(start, kept)
        old = _answers(start)
        total = killed_at(None, act)[1]
        new = _answers(start)
        assert old != new or scene is relink_over
        found: Counter[str] = Counter()
        for moment in sorted({total * step // most for step in range(most)}):
            shutil.rmtree(start)
            shutil.copytree(kept, start)
            name, _ = killed_at(moment, act)
            found[name] += 1
            for path, value in _answers(start).items():
                assert value in (old.get(path), new.get(path)), (moment, name, path)
            for folder in (start, start / "parts"):
                if folder.exists():
                    finish_writes(folder)
            after = _answers(start)
            changed = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
            assert {path: after.get(path) for path in changed} in (
                {path: old.get(path) for path in changed},
                {path: new.get(path) for path in changed},
            ), (moment, name, after)
            assert not list(start.rglob(".hx-writing-*"))
    return found


def _answers(folder: Path) -> dict[str, float]:
    """Run every model below a folder; where it has a sidecar, that is its own."""
    found: dict[str, float] = {}
    for path in sorted(folder.rglob("*.onnx")):
        if any(part.startswith(".hx-") for part in path.parts):
            continue
        session = onnxruntime.InferenceSession(path)
        feeds = {value.name: np.ones(value.shape, np.float32) for value in session.get_inputs()}
        found[str(path.relative_to(folder))] = float(session.run(None, feeds)[0].sum())
        if path.with_name(f"{path.stem}_hierarchy.json").exists():
            assert hx.load(path).is_unchanged, path
    return found
