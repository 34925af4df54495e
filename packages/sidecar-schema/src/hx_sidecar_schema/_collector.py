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
