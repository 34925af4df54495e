"""The longest common subsequence of two sequences that differ in few elements."""

from __future__ import annotations

from collections.abc import Sequence


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
