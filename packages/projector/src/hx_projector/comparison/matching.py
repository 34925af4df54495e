"""Which node of one graph is the counterpart of which node of another that differs from it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from hx_projector.comparison.colours import ColouredGraph
from hx_projector.comparison.common_subsequence import longest_common

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
    left, right = _unpaired(a, pairs), _unpaired(b, pairs.values())
    local = [a.local[row] for row in left], [b.local[row] for row in right]
    common = longest_common(*local, MAX_EDITS)
    if common is None and max(len(left), len(right)) <= MAX_ALIGNED:
        blocks = SequenceMatcher(None, *local, autojunk=False).get_matching_blocks()
        common = [(block.a + offset, block.b + offset) for block in blocks for offset in range(block.size)]
    pairs.update((left[one], right[other]) for one, other in common or ())
    return pairs


def _unpaired(graph: ColouredGraph, paired: Iterable[int]) -> list[int]:
    taken = set(paired)
    return [row for row in range(len(graph.nodes)) if row not in taken]


def _equal_colours(a: ColouredGraph, b: ColouredGraph) -> dict[int, int]:
    """Return rows of `a` with the first free row of `b` that has their forward colour, else their backward colour."""
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
