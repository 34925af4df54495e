"""Where to cut a line of steps so that the largest stage is small, and little crosses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLACK = 0.05
"""A stage may be larger than the best cut's largest by this share, where less crosses then."""


def best_cut(
    loads: Sequence[int], borders: Sequence[int], stages: int, shared: Sequence[Mapping[str, int]] = ()
) -> list[int]:
    """Return the positions at which the second and all later stages begin.

    The largest stage is at most `SLACK` larger than in the best cut there is; of all such cuts it is the one whose borders
    cost least, and of these the one whose smallest stage is largest. Found by dynamic programming.

    Args:
        loads: Of each step.
        borders: What a border before each step but the first costs.
        stages: At most as many as there are steps.
        shared: Loads of each step that count once in a stage, by name: weights.
    """
    steps = len(loads)
    largest = np.full((stages + 1, steps + 1), np.inf)
    largest[0, 0] = 0
    for end, load in enumerate(_loads_before(loads, shared), 1):
        for stage in range(1, stages + 1):
            largest[stage, end] = np.maximum(largest[stage - 1, :end], load).min()
    limit = float(largest[stages, steps]) * (1 + SLACK)

    cost = np.concatenate([[0.0], np.asarray(borders, dtype=np.float64)])
    over = np.full((stages + 1, steps + 1), np.inf)
    smallest = np.full((stages + 1, steps + 1), -np.inf)
    came = np.zeros((stages + 1, steps + 1), dtype=np.int64)
    over[0, 0], smallest[0, 0] = 0, np.inf
    for end, load in enumerate(_loads_before(loads, shared), 1):
        for stage in range(1, stages + 1):
            sums = np.where(load <= limit, over[stage - 1, :end] + cost[:end], np.inf)
            least = sums.min()
            if not np.isfinite(least):
                continue
            least_loads = np.where(sums == least, np.minimum(smallest[stage - 1, :end], load), -np.inf)
            start = int(least_loads.argmax())
            over[stage, end], smallest[stage, end], came[stage, end] = least, least_loads[start], start
    cuts: list[int] = []
    end = steps
    for stage in range(stages, 1, -1):
        end = int(came[stage, end])
        cuts.append(end)
    return cuts[::-1]


def _loads_before(loads: Sequence[int], shared: Sequence[Mapping[str, int]]) -> Iterator[NDArray[Any]]:
    """Yield for each step the loads of the stages that end with it, by the step with which they begin."""
    row = np.zeros(0)
    last: dict[str, int] = {}
    for step, load in enumerate(loads):
        row = np.append(row, 0.0) + load
        for name, size in (shared[step] if shared else {}).items():
            row[last.get(name, -1) + 1 :] += size
            last[name] = step
        yield row
