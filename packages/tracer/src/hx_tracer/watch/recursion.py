"""Room on Python's stack for what watching adds to it."""

import sys
from collections.abc import Generator
from contextlib import contextmanager

import torch

_FRAMES = 6
"""Frames that the watchers put on the stack for each call that runs inside another: those that `patched` and they have."""


def nesting(model: torch.nn.Module) -> int:
    """Return how deep the modules of a model are nested; 1 without children."""
    return max(name.count(".") + bool(name) for name, _ in model.named_modules()) + 1


@contextmanager
def room_for_watching(model: torch.nn.Module) -> Generator[None]:
    """Raise Python's recursion limit by what watching a model's calls needs: it shall fail where it does unwatched."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + _FRAMES * nesting(model))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
