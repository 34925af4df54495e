"""Which node of one graph is the counterpart of which node of another that differs from it."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from hx_projector.comparison.colours import ColouredGraph

MAX_EDITS = 1000
"""Nodes that two sequences may not share; finding them takes time quadratic in this number."""
MAX_ALIGNED = 3000
"""Sequences of up to so many nodes are aligned even where they share fewer, in time quadratic in their length."""


def counterparts(a: ColouredGraph, b: ColouredGraph) -> dict[int, int]:
    """Return rows of `a` with their counterparts in `b`.

    Nodes of equal forward colours are paired first, then nodes of equal backward colours. Of the others, nodes that are
    alike by themselves are paired as a longest common subsequence of the rows, which both graphs have in the order of
    the same walk. Where very many are left and few are alike, no more are paired.
    """
    pairs = _equal_colours(a, b)
    taken = set(pairs.values())
    left = [row for row in range(len(a.nodes)) if row not in pairs]
    right = [row for row in range(len(b.nodes)) if row not in taken]
    local = [a.local[row] for row in left], [b.local[row] for row in right]
    common = longest_common(*local, MAX_EDITS)
    if common is None and max(len(left), len(right)) <= MAX_ALIGNED:
        blocks = SequenceMatcher(None, *local, autojunk=False).get_matching_blocks()
        common = [(block.a + offset, block.b + offset) for block in blocks for offset in range(block.size)]
    pairs.update((left[one], right[other]) for one, other in common or ())
    return pairs


def _equal_colours(a: ColouredGraph, b: ColouredGraph) -> dict[int, int]:
    """Return rows of `a` with the first free row of `b` that has their forward colour, else their backward colour."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    for left, right in ((a.forward, b.forward), (a.backward, b.backward)):
        free: dict[int, list[int]] = {}
        for row in reversed(range(len(right))):
            if row not in taken:
                free.setdefault(right[row], []).append(row)
        for row, colour in enumerate(left):
            if row not in found and (others := free.get(colour)):
                found[row] = others.pop()
                taken.add(found[row])
    return found


def longest_common(left: Sequence[int], right: Sequence[int], edits: int) -> list[tuple[int, int]] | None:
    """Return the positions of a longest common subsequence; None where more than `edits` elements are not in it.

    Source: E. W. Myers, An O(ND) Difference Algorithm and Its Variations, 1986.
    """
    reached = [0] * (2 * edits + 3)  # of each diagonal, from -edits - 1 on, how far along `left`
    middle = edits + 1
    trace: list[list[int]] = []
    for count in range(edits + 1):
        trace.append(reached[middle - count - 1 : middle + count + 2])
        for diagonal in range(-count, count + 1, 2):
            x = _step(reached, middle, diagonal, count)
            y = x - diagonal
            while x < len(left) and y < len(right) and left[x] == right[y]:
                x, y = x + 1, y + 1
            reached[middle + diagonal] = x
            if x >= len(left) and y >= len(right):
                return _read_back(trace, x, y)
    return None


def _step(reached: Sequence[int], middle: int, diagonal: int, count: int) -> int:
    """Return how far along `left` a path of `count` edits enters a diagonal, from the better one of its neighbours."""
    below, above = reached[middle + diagonal + 1], reached[middle + diagonal - 1]
    return below if diagonal == -count or (diagonal != count and above < below) else above + 1


def _read_back(trace: Sequence[Sequence[int]], x: int, y: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for count in reversed(range(len(trace))):
        diagonal = x - y
        start = _step(trace[count], count + 1, diagonal, count) if count else 0
        while x > start:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        if count:
            below, above = trace[count][count + 2 + diagonal], trace[count][count + diagonal]
            down = diagonal == -count or (diagonal != count and above < below)
            x, y = (x, y - 1) if down else (x - 1, y)
    return pairs[::-1]
