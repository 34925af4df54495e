"""Units as processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence

from hx_fleet._units import RunFolder, Unit
from hx_fleet.engines.nursery import NurseryProcess

WAIT_S = 1.0


def run_local(
    units: Sequence[Unit], folder: RunFolder, *, workers: int | None, threads: int
) -> Generator[tuple[Unit | None, list[Unit]]]:
    """Run units, several at once; yield each that is done with those that run, and None now and then between.

    Closing the iterator ends what runs.
    """
    pending = list(reversed(units))
    at_once = workers or max(1, _cores() // threads)
    nursery = NurseryProcess(folder, threads)
    try:
        while pending or nursery.running:
            while pending and len(nursery.running) < at_once:
                nursery.give(pending.pop())
            done = nursery.done(WAIT_S)
            for unit in done or [None]:
                yield unit, list(nursery.running)
    finally:
        nursery.close()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
