"""Coverage by operator category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hx.records.analyze import CategoryEntry
from hx_projector import CATEGORIES, UNCATEGORISED, category_of
from hx_sidecar_schema import HxError, Node

NAMES = [*(category.name for category in CATEGORIES), UNCATEGORISED]


def find_category(name: str) -> str:
    """Return a category's name, however it is capitalised.

    Raises:
        HxError: HX406 if there is none of that name.
    """
    wanted = " ".join(name.lower().split())
    if wanted not in NAMES:
        raise HxError(
            f"There is no category {name!r}.", code="HX406", hint=f"Take one of {', '.join(map(repr, NAMES))}."
        )
    return wanted


def category_entries(nodes: Sequence[Node], thresholds: Mapping[str, float]) -> list[CategoryEntry]:
    """Count nodes by category.

    Args:
        nodes: Those that count.
        thresholds: Percent by category, instead of the default ones, below which it is marked.

    Raises:
        HxError: HX406 if `thresholds` names no category.
    """
    limits = {category.name: category.threshold for category in CATEGORIES}
    limits |= {find_category(name): value for name, value in thresholds.items()}
    critical = {category.name for category in CATEGORIES if category.critical}
    entries: list[CategoryEntry] = []
    for name in NAMES:
        own = [node for node in nodes if category_of(node.op_type) == name]
        if not own:
            continue
        covered, exact = sum(node.known for node in own), sum(node.confidence == "high" for node in own)
        percent, threshold = share(covered, len(own)), limits.get(name)
        entries.append(
            CategoryEntry(
                name=name,
                total=len(own),
                covered=covered,
                exact=exact,
                covered_percent=percent,
                exact_percent=share(exact, len(own)),
                threshold=threshold,
                critical=name in critical,
                below=threshold is not None and percent < threshold,
                operators=dict(Counter(node.op_type for node in own).most_common()),
            )
        )
    return entries


def share(part: int, whole: int) -> float:
    """Return a share in percent; of nothing, all."""
    return round(100.0 * part / whole, 2) if whole else 100.0
