"""Units as processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence

from hx_fleet._units import RunFolder, Unit
from hx_fleet.engines.fork_server import ForkServerProcess

WAIT_S = 1.0


def run_local(
    units: Sequence[Unit], folder: RunFolder, *, workers: int | None, threads: int
) -> Generator[tuple[Unit | None, list[Unit]]]:
    """Run units, several at once; yield each that is done with those that run, and None now and then between.

    Closing the iterator ends what runs.
    """
    pending = list(reversed(units))
    at_once = workers or max(1, _cores() // threads)
    server = ForkServerProcess(folder, threads)
    try:
        while pending or server.running:
            while pending and len(server.running) < at_once:
                server.give(pending.pop())
            done = server.done(WAIT_S)
            for unit in done or [None]:
                yield unit, list(server.running)
    finally:
        server.close()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
