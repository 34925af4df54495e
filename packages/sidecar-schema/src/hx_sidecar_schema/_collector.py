"""Making many objects without walking them again and again."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Generator[None]:
    """Keep the cyclic collector from walking graphs and rows while they are made: none of them is garbage.

    On 100,000 nodes this is a third to a half of the time (Python 3.11). What was made counts as old afterwards: the next collection of young
    objects would walk it all, 0.7 s of such a graph.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():  # what somebody else froze stays frozen
                gc.freeze()
                gc.unfreeze()
            gc.enable()


_left_garbage = False
"""Whether a block of `existing_objects_uncollected` ended in this process; its garbage outlives the next block if nobody collects it."""


@contextmanager
def existing_objects_uncollected() -> Generator[None]:
    """Keep the cyclic collector from walking loaded modules and the model again and again while the block makes and drops its own.

    In an export of GPT-2 small, full collections are 1.0 of 14 s; most of what they walk torch and transformers made when
    they were imported (Python 3.11). Garbage of the block itself is collected as ever.
    """
    global _left_garbage
    if gc.get_freeze_count() or not gc.isenabled():  # somebody else decided
        yield
        return
    if _left_garbage:
        gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        _left_garbage = True
