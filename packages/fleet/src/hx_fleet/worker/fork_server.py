"""A process that imports what all models need once, and forks a process for each: `python -m hx_fleet.worker.fork_server FOLDER`.

It reads units, one a line, and writes the name of each when its result is there. A process that takes too long or too much
memory is ended, one that was killed or crashed is started again. Nobody has to wait for it: when the one that
started it ends, however that happens, its stdin ends, and it and all its processes end too.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from hx.text import plural
from hx_fleet._units import RunFolder, Unit, clear, finish
from hx_fleet.worker.memory import end_with_parent, resident_bytes

TICK_S = 0.05
"""How often time and memory are looked at. Memory is filled at 1 to 2 GB a second, so it may be over by 100 MB."""
SIGNALS = {one.value: f", {one.name}" for one in signal.Signals}
"""Those of real time have no names."""


@dataclass
class Running:
    """A unit's process."""

    unit: Unit
    attempts: int
    deadline: float
    ended: tuple[str, str] | None = None
    """Kind and cause of why it was ended from here."""


class ForkServer:
    """The processes of units."""

    def __init__(self, folder: RunFolder) -> None:
        """Begin with none; their results go to a run's folder."""
        self.folder = folder
        self.running: dict[int, Running] = {}
        self.over: list[tuple[Unit, tuple[str, str] | None]] = []
        """Units whose processes have ended, with what finishes them, and not told yet."""
        self.guard = _guard()

    def start(self, unit: Unit, attempts: int = 1) -> None:
        """Fork the process of a unit."""
        if not unit.is_file:
            _import_torch()
        sys.stdout.flush()
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            _child(unit, self.folder, attempts, parent, self.guard)
        with suppress(PermissionError, ProcessLookupError):
            os.setpgid(child, child)  # here too: it may be ended before it does that itself
        self.running[child] = Running(unit, attempts, time.monotonic() + unit.timeout_s)

    def look(self) -> None:
        """End what is over its limits, and settle what has ended."""
        for pid, running in self.running.items():
            limit = running.unit.memory_bytes
            if running.ended is None and time.monotonic() > running.deadline:
                running.ended = "timeout", f"Not done after {running.unit.timeout_s:g} s."
                _kill(pid)
            elif running.ended is None and limit is not None and resident_bytes(pid) > limit:
                running.ended = "memory", f"More than {limit} bytes."
                _kill(pid)
        while self.running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid in self.running:
                _kill(pid)  # what it started and left behind
                os.write(self.guard, f"-{pid}\n".encode())
                self._settle(self.running.pop(pid), status)
        self.over = [one for one in self.over if not self._finished(*one)]

    def _settle(self, running: Running, status: int) -> None:
        unit, code, ended = running.unit, os.waitstatus_to_exitcode(status), running.ended
        if ended is None and not self.folder.result(unit.id).exists():
            if running.attempts <= unit.retries:
                self.start(unit, running.attempts + 1)
                return
            how = f"signal {-code}{SIGNALS.get(-code, '')}" if code < 0 else f"exit code {code}"
            ended = "crash", f"The process ended with {how}, {plural(running.attempts, 'time')}."
        self.over.append((unit, ended))

    def _finished(self, unit: Unit, ended: tuple[str, str] | None) -> bool:
        """Let a unit have its result, and tell; return False while a process of another fork server has the unit."""
        if not self.folder.result(unit.id).exists():
            with self.folder.held(unit.id) as is_ours:
                if not is_ours:
                    return False
                if not self.folder.result(unit.id).exists():
                    finish(unit, self.folder, ended)
        sys.stdout.write(f"{unit.id}\n")
        sys.stdout.flush()
        return True


def _guard() -> int:
    """Fork a process that waits for the end of this one, however that happens, and then ends those of its units.

    Return where their numbers are written; one that is negative takes its process back.
    """
    read, write = os.pipe()
    if os.fork():
        os.close(read)
        return write
    os.setsid()  # what ends all of a terminal is not for it
    os.close(write)
    pids: set[int] = set()
    with os.fdopen(read) as lines:
        for line in lines:
            pid = int(line)
            pids = pids | {pid} if pid > 0 else pids - {-pid}
    for pid in pids:
        _kill(pid)
    os._exit(0)  # its stdout is that of the fork server: it ends when all have been ended


def _child(unit: Unit, folder: RunFolder, attempts: int, parent: int, guard: int) -> None:
    """Run a unit in this process, which has been forked, and end it."""
    try:
        os.setpgid(0, 0)
        os.write(guard, f"{os.getpid()}\n".encode())
        os.close(guard)
        end_with_parent(parent)
        log = folder.log(unit.id)
        log.parent.mkdir(exist_ok=True)
        said = os.open(log, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if attempts > 1 else os.O_TRUNC), 0o666)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        from hx_fleet.worker.run import run_unit

        # a fork server whose driver was killed may have begun it, and not seen that yet
        with folder.held(unit.id, wait=True):
            if not folder.result(unit.id).exists():
                clear(unit, folder)
                run_unit(unit, folder, attempts)
                finish(unit, folder)
        sys.stdout.flush()
        os._exit(0)
    except BaseException:  # noqa: BLE001 the end of the process: it is told by its exit code, and the log has why
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(70)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _import_torch() -> None:
    """Import what exports a model, all of it: an export of one layer imports what torch does not import before."""
    if "hx_tracer.exporting.dynamo" in sys.modules:
        return
    import torch

    import hx

    hx.export(torch.nn.Linear(1, 1), (torch.ones(1, 1),), verify=False)
    if find_spec("transformers"):
        import_module("transformers.modeling_utils")
    gc.freeze()  # no unit's collector walks, and so copies, what all share


def main() -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the one that started this decides
    server = ForkServer(RunFolder(Path(sys.argv[1])))
    for name in ("onnxruntime", "hx_projector", "hx_extractor"):
        import_module(name)
    os.set_blocking(0, False)
    waiting = b""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        while True:
            if selector.select(TICK_S):
                read = os.read(0, 1 << 16)
                if not read:
                    break
                *lines, waiting = (waiting + read).split(b"\n")
                for line in lines:
                    server.start(Unit.from_json(line.decode()))
            server.look()


if __name__ == "__main__":
    main()
