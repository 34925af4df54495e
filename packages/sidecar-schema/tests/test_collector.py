"""How often the collector looks for garbage while hx makes many objects."""

import gc
from collections.abc import Iterator

import pytest

from hx_sidecar_schema import fewer_collections


@pytest.fixture(autouse=True)
def pythons_own_threshold() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def collections(objects: int) -> int:
    """Return how many collections there are while so many objects are made and kept."""
    before = sum(generation["collections"] for generation in gc.get_stats())
    kept = [[] for _ in range(objects)]
    return sum(generation["collections"] for generation in gc.get_stats()) - before if kept else 0


def test_a_block_has_fewer_collections_and_still_some() -> None:
    usual = collections(50_000)
    with fewer_collections:
        within = collections(50_000)
    assert 0 < within < usual / 5
    assert collections(50_000) > usual / 2


def test_blocks_in_each_other_end_with_the_outer_one() -> None:
    with fewer_collections:
        with fewer_collections:
            pass
        assert gc.get_threshold()[0] > 700
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [(0, 10, 10), (50_000, 5, 5)])
def test_who_wants_still_fewer_keeps_that(chosen: tuple[int, int, int]) -> None:
    gc.set_threshold(*chosen)
    with fewer_collections:
        assert gc.get_threshold() == chosen
    assert gc.get_threshold() == chosen
