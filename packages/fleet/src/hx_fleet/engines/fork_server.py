"""The other end of a fork server: units go in, names of those that are done come out."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from hx.text import plural
from hx_fleet._units import RunFolder, Unit, finish

LOG = "fork-server"
"""Name of the log of what servers say."""


class ForkServerProcess:
    """A server, and another in its place where one is killed. It ends with this process, however that ends."""

    def __init__(self, folder: RunFolder, threads: int) -> None:
        """Start it, for a run's folder; its processes have so many threads each."""
        self._folder, self._threads = folder, threads
        self._units: dict[str, Unit] = {}
        self._deaths: dict[str, int] = {}
        self._start()

    @property
    def running(self) -> Sequence[Unit]:
        """Units that were given and are not done."""
        return list(self._units.values())

    def give(self, unit: Unit) -> None:
        """Let a unit run."""
        self._units[unit.id] = unit
        with suppress(BrokenPipeError):  # it was killed: `done` sees that, and starts another
            self._stdin.write(f"{unit.to_json()}\n".encode())

    def done(self, wait_s: float) -> list[Unit]:
        """Return units that are done since, after at most so many seconds."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            if not selector.select(wait_s):
                return []
        read = os.read(self._stdout.fileno(), 1 << 16)
        if not read:
            return self._again()
        *names, self._waiting = (self._waiting + read).split(b"\n")
        return [self._units.pop(name.decode()) for name in names if name.decode() in self._units]

    def close(self) -> None:
        """End it, and all of its processes."""
        self._stdin.close()
        self._process.wait()
        self._stdout.close()

    def _start(self) -> None:
        log = self._folder.log(LOG)
        log.parent.mkdir(exist_ok=True)
        variables = {"OMP_NUM_THREADS": str(self._threads), "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")}
        with log.open("ab") as said:
            self._process = subprocess.Popen(  # -P: a file of the current folder hides no module
                [sys.executable, "-P", "-m", "hx_fleet.worker.fork_server", str(self._folder.path.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                bufsize=0,
                env={**os.environ, **variables},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin: IO[bytes] = self._process.stdin
        self._stdout: IO[bytes] = self._process.stdout
        self._waiting = b""

    def _again(self) -> list[Unit]:
        """Start another fork server with the units that the last one had; return those that are done, or have ended too many."""
        code = self._process.wait()
        units = list(self._units.values())
        self._units.clear()
        self._stdout.close()
        self._start()
        done: list[Unit] = []
        for unit in units:
            self._deaths[unit.id] = self._deaths.get(unit.id, 0) + 1
            if not self._folder.result(unit.id).exists() and self._deaths[unit.id] > unit.retries:
                times = plural(self._deaths[unit.id], "time")
                cause = f"The process that watches ended with {code}, {times}: see logs/{LOG}.log."
                with self._folder.log(unit.id).open("a", encoding="utf-8") as said:
                    said.write(f"{cause}\n")
                with self._folder.held(unit.id, wait=True):
                    finish(unit, self._folder, ("crash", cause))
            if self._folder.result(unit.id).exists():
                done.append(unit)
            else:
                self.give(unit)
        return done
