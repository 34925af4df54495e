"""Telling a caller what goes on."""

import io
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from hx_sidecar_schema import redirected

Progress = Callable[[str, int, int], None]
"""Takes what is being done, how many of its items are done, and how many there are: 0 where it has no items."""

Item = TypeVar("Item")

logger = logging.getLogger(__name__)


def silent(text: str, done: int = 0, total: int = 0) -> None:
    """Take progress and say nothing."""


def each(items: Sequence[Item], text: str, progress: Progress) -> Iterator[Item]:
    """Yield items, and say before each how many are done."""
    for done, item in enumerate(items):
        progress(text, done, len(items))
        yield item


@contextmanager
def captured() -> Generator[io.StringIO]:
    """Catch what other people's code prints on stdout and stderr; it is logged at level INFO."""
    caught = io.StringIO()
    try:
        with redirected("stdout", caught), redirected("stderr", caught):
            yield caught
    finally:
        if caught.getvalue().strip():
            logger.info("%s", caught.getvalue().rstrip())


@dataclass
class Clock:
    """Wall time of each step, in seconds."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def step(self, name: str, text: str) -> Generator[None]:
        """Time a block, and say what goes on."""
        self.progress(text, 0, 0)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)
