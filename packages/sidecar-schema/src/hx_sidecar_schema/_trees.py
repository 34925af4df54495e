"""Trees as lists of parents: rows of modules or calls, a parent before its children."""

from __future__ import annotations

from collections.abc import Sequence


def subtree_ends(parents: Sequence[int | None]) -> list[int]:
    """Return for each row the one after its last descendant, where rows are in pre-order."""
    ends = list(range(1, len(parents) + 1))
    for row in range(len(parents) - 1, -1, -1):
        parent = parents[row]
        if parent is not None:
            ends[parent] = max(ends[parent], ends[row])
    return ends


def depths(parents: Sequence[int | None]) -> list[int]:
    """Return how many rows are above each one; 0 for a root."""
    found: list[int] = []
    for parent in parents:
        found.append(0 if parent is None else found[parent] + 1)
    return found
