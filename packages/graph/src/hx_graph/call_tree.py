"""The tree of calls: ancestors and subtrees by row number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hx_sidecar_schema import ModuleCall


class CallTree:
    """Calls in pre-order: a subtree is a range of rows.

    Args:
        calls: Parents before children.
    """

    def __init__(self, calls: Sequence[ModuleCall]) -> None:
        self.parent = [call.parent for call in calls]
        self.end = list(range(1, len(calls) + 1))
        for row in range(len(calls) - 1, -1, -1):
            parent = self.parent[row]
            if parent is not None:
                self.end[parent] = max(self.end[parent], self.end[row])

    def contains(self, row: int, other: int) -> bool:
        """Say whether `other` is `row` or was called below it."""
        return row <= other < self.end[row]

    def common(self, rows: Iterable[int]) -> int:
        """Return the innermost call that all rows lie in; rows must not be empty."""
        rest = list(rows)
        low, high = min(rest), max(rest)
        current: int | None = low
        while current is not None and not self.contains(current, high):
            current = self.parent[current]
        return current or 0
