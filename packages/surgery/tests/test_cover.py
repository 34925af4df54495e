"""Few sets that hold what all hold."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from hx_surgery.suite.cover import cover


def test_a_set_that_holds_all_is_enough() -> None:
    sets = {"a": frozenset("x"), "b": frozenset("xyz"), "c": frozenset("yz")}
    assert cover(sets, {"a": 1, "b": 9, "c": 1}) == ["b"]


def test_of_equals_the_smallest_is_taken() -> None:
    sets = {"large": frozenset("xy"), "small": frozenset("xy")}
    assert cover(sets, {"large": 9, "small": 2}) == ["small"]


def test_a_set_gives_way_to_a_smaller_one_that_holds_what_is_left_to_it() -> None:
    sets = {"first": frozenset("abcd"), "second": frozenset("cdef"), "last": frozenset("ef")}
    assert sorted(cover(sets, {"first": 5, "second": 5, "last": 1})) == ["first", "last"]


def test_nothing_needs_nothing() -> None:
    assert cover({}, {}) == []
    assert cover({"a": frozenset()}, {"a": 1}) == []


@pytest.mark.parametrize("seed", range(40))
def test_all_is_held_by_hardly_more_sets_than_the_fewest(seed: int) -> None:
    draw = random.Random(seed)
    sets = {key: frozenset(draw.sample("abcdefghij", draw.randint(1, 5))) for key in range(9)}
    found = cover(sets, {key: draw.randint(1, 50) for key in sets})
    whole = frozenset[str]().union(*sets.values())
    assert frozenset[str]().union(*(sets[key] for key in found)) == whole
    assert len(set(found)) == len(found)
    for key in found:
        assert not sets[key] <= frozenset[str]().union(*(sets[other] for other in found if other != key))
    fewest = next(
        count
        for count in range(1, len(sets) + 1)
        if any(frozenset[str]().union(*(sets[key] for key in some)) == whole for some in combinations(sets, count))
    )
    assert len(found) <= fewest + 1
