"""Which node of one graph stands for which node of another, where the two are not the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from hx_projector.comparison.colours import Wiring

EDITS = 1000
"""Nodes that one of two sequences may lack; finding them takes the square of this number."""
ALIGNED = 3000
"""Nodes that are aligned even where they differ by more, which takes the square of their number."""


def counterparts(a: Wiring, b: Wiring) -> dict[int, int]:
    """Return rows of `a` with their counterparts in `b`.

    A node has one if all that leads to it is alike, else if all that it leads to is. What lies between two changes is
    paired in the order of the rows, which is as alike as the graphs are: alike nodes, as many as possible. Not promised
    is that any are, where there are very many and few are alike.
    """
    pairs = _alike_on_one_side(a, b)
    left, right = _left_over(a, pairs), _left_over(b, pairs.values())
    local = [a.local[row] for row in left], [b.local[row] for row in right]
    common = longest_common(*local, EDITS)
    if common is None and max(len(left), len(right)) <= ALIGNED:
        blocks = SequenceMatcher(None, *local, autojunk=False).get_matching_blocks()
        common = [(block.a + offset, block.b + offset) for block in blocks for offset in range(block.size)]
    pairs.update((left[one], right[other]) for one, other in common or ())
    return pairs


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
                return _way_back(trace, x, y)
    return None


def _step(reached: Sequence[int], middle: int, diagonal: int, count: int) -> int:
    """Return where a way of `count` edits to a diagonal begins, on the better one of the diagonals beside it."""
    below, above = reached[middle + diagonal + 1], reached[middle + diagonal - 1]
    return below if diagonal == -count or (diagonal != count and above < below) else above + 1


def _way_back(trace: Sequence[Sequence[int]], x: int, y: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for count in range(len(trace) - 1, -1, -1):
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


def _left_over(graph: Wiring, paired: Iterable[int]) -> list[int]:
    taken = set(paired)
    return [row for row in range(len(graph.nodes)) if row not in taken]


def _alike_on_one_side(a: Wiring, b: Wiring) -> dict[int, int]:
    """Return rows of `a` with their counterparts in `b`: by what leads to them, else by what they lead to."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    for left, right in ((a.forward, b.forward), (a.backward, b.backward)):
        free: dict[int, list[int]] = {}
        for row in range(len(right) - 1, -1, -1):
            if row not in taken:
                free.setdefault(right[row], []).append(row)
        for row, colour in enumerate(left):
            others = free.get(colour) if row not in found else None
            if others:
                found[row] = others.pop()
                taken.add(found[row])
    return found
