"""Calls that fit into memory together, and how memory is written."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hx._verify.batches import batches_of
from hx_cli._parse import parse_memory, parse_threshold
from hx_sidecar_schema import HxError


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


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("500MB", 500_000_000),
        ("2GB", 2 * 10**9),
        ("2GiB", 2 * 2**30),
        ("1.5 kB", 1500),
        ("1.5kib", 1536),
        ("64m", 64 * 10**6),
        ("17", 17),
        ("17B", 17),
        ("1TB", 10**12),
    ],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_memory(text) == size_bytes


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "0.1B", "2XB", "GB", "1e9", "2GBB", "iB", "2ib"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(HxError) as caught:
        parse_memory(text)
    assert caught.value.code == "HX406"
    assert repr(text) in caught.value.message


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
def test_no_limits(value: float) -> None:
    with pytest.raises(HxError) as caught:
        parse_threshold(value)
    assert caught.value.code == "HX406"


def test_limits() -> None:
    assert [parse_threshold(value) for value in (None, 0.0, 1e-3)] == [None, 0.0, 1e-3]
