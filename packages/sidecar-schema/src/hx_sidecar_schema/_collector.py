"""Making many objects without walking them again and again."""

import gc
from collections.abc import Generator
from contextlib import contextmanager

from hx_sidecar_schema._threads import Shared


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


_OBJECTS = 10_000
"""How many more objects than before call for a collection, in place of Python's 700."""


@contextmanager
def _fewer_collections() -> Generator[None]:
    before = gc.get_threshold()
    if before[0]:  # 0: somebody else wants none
        gc.set_threshold(max(before[0], _OBJECTS), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


fewer_collections = Shared(_fewer_collections)
"""The cyclic collector looks for garbage less often in the block: for work that makes many objects that live, and some cycles.

In an export of GPT-2 small, collections are 0.7 of 8.0 s of processor time, and 0.2 so; memory grows by 3 of 940 MB
(Python 3.11, torch 2.13). Full collections, which walk all that was ever imported, are what there are fewer of.
"""
