"""Fingerprints as records: which values they sample, and files of them."""

from __future__ import annotations

import itertools
import json
import math

from hypothesis import given, strategies as st

from hx_sidecar_schema import Fingerprint, sample_positions


@given(st.integers(0, 10**12))
def test_positions_are_few_rising_and_inside(size: int) -> None:
    positions = sample_positions(size)
    assert positions == sorted(set(positions))
    assert all(0 <= position < size for position in positions)
    if size <= 64:
        assert positions == list(range(size))
    else:
        assert 32 <= len(positions) <= 64


def test_positions_are_spread_and_no_multiples_of_one_step() -> None:
    positions = sample_positions(1_000_000)
    steps = [later - earlier for earlier, later in itertools.pairwise(positions)]
    assert max(steps) < 3 * 1_000_000 / 64
    assert len(set(steps)) > 1
    assert {position % 1000 for position in positions} != {0}


def test_a_file_says_null_for_what_json_has_no_number_for() -> None:
    fingerprint = Fingerprint(
        dtype="FLOAT", shape=[3], sample=[math.nan, -math.inf, 1.5], mean=math.nan, mean_square=math.inf, constant=False
    )
    text = fingerprint.model_dump_json()
    row = json.loads(text)
    assert (row["sample"], row["mean"], row["mean_square"]) == ([None, None, 1.5], None, None)
    back = Fingerprint.model_validate_json(text)
    assert [math.isnan(number) for number in (*back.sample, back.mean, back.mean_square)] == [
        True,
        True,
        False,
        True,
        True,
    ]
    assert back.sample[2] == 1.5


def test_the_schema_allows_the_nulls_that_files_have() -> None:
    properties = Fingerprint.model_json_schema()["properties"]
    for numbers in (properties["sample"]["items"], properties["mean"], properties["mean_square"]):
        assert {choice["type"] for choice in numbers["anyOf"]} == {"number", "null"}
