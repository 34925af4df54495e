"""The tree of calls: ancestors and subtrees by row number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hx_sidecar_schema import ModuleCall, subtree_ends


class CallTree:
    """Calls in pre-order: a subtree is a range of rows.

    Attributes:
        parent: Of each call; None for a root.
        end: For each call, the row after its last descendant.
    """

    def __init__(self, calls: Sequence[ModuleCall]) -> None:
        """Index calls, which are in pre-order."""
        self.parent = [call.parent for call in calls]
        self.end = subtree_ends(self.parent)

    def contains(self, row: int, other: int) -> bool:
        """Say whether `other` is `row` or was called below it."""
        return row <= other < self.end[row]

    def leaving(self, row: int | None, other: int | None) -> Iterator[int]:
        """Yield a call and those around it that do not hold another call; all of them where that is None."""
        while row is not None and (other is None or not self.contains(row, other)):
            yield row
            row = self.parent[row]

    def common(self, rows: Iterable[int]) -> int:
        """Return the innermost call that all rows lie in; rows must not be empty."""
        rest = list(rows)
        low, high = min(rest), max(rest)
        current: int | None = low
        while current is not None and not self.contains(current, high):
            current = self.parent[current]
        return current or 0
