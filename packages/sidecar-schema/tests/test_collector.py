"""What the collector walks while hx makes many objects."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from hx_sidecar_schema import existing_objects_uncollected


class Cycle:
    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def nothing_frozen() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("blocks_before", [0, 1])
def test_a_block_collects_its_own_garbage_and_nothing_that_was_there(blocks_before: int) -> None:
    for _ in range(blocks_before):
        with existing_objects_uncollected():
            pass
    there = Cycle()
    before = weakref.ref(there)
    with existing_objects_uncollected():
        del there
        within = weakref.ref(Cycle())
        gc.collect()
        assert before() is not None
        assert within() is None
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert before() is None


def test_what_one_block_leaves_does_not_outlive_the_next() -> None:
    with existing_objects_uncollected():
        left = weakref.ref(Cycle())
    with existing_objects_uncollected():
        assert left() is None


def test_what_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with existing_objects_uncollected():
        pass
    assert gc.get_freeze_count() == frozen
