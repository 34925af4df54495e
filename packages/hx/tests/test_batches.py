"""Calls that fit into memory together."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from hx._verify.measure import batches_of


@pytest.mark.parametrize(
    ("sizes", "limit", "runs"),
    [
        ([3, 3, 3], 9, [[0, 1, 2]]),
        ([3, 3, 3], 8, [[0, 1], [2]]),
        ([3, 9, 3], 5, [[0], [1], [2]]),
        ([0, 0, 0], 1, [[0, 1, 2]]),
        ([], 1, []),
    ],
)
def test_runs(sizes: list[int], limit: int, runs: list[list[int]]) -> None:
    assert [list(run) for run in batches_of(sizes, limit)] == runs


@given(st.lists(st.integers(0, 50)), st.integers(1, 100))
def test_every_item_once_and_no_run_beyond_the_limit(sizes: list[int], limit: int) -> None:
    runs = batches_of(sizes, limit)
    assert [position for run in runs for position in run] == list(range(len(sizes)))
    for run, following in itertools.zip_longest(runs, runs[1:]):
        held = sum(sizes[position] for position in run)
        assert held <= limit or len(run) == 1
        if following:
            assert held + sizes[following[0]] > limit  # else a run too many
