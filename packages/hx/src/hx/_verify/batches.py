"""Groups of calls whose tensors fit into memory together."""

from __future__ import annotations

from collections.abc import Sequence


def batches_of(sizes_bytes: Sequence[int], limit_bytes: int) -> list[range]:
    """Cut a sequence into runs whose sums stay within a limit.

    Args:
        sizes_bytes: What each item holds.
        limit_bytes: Of a run; an item beyond it is a run of its own.

    Returns:
        Ranges of positions, in order, that cover all items.
    """
    runs: list[range] = []
    start, held = 0, 0
    for position, size in enumerate(sizes_bytes):
        if position > start and held + size > limit_bytes:
            runs.append(range(start, position))
            start, held = position, 0
        held += size
    if start < len(sizes_bytes):
        runs.append(range(start, len(sizes_bytes)))
    return runs
