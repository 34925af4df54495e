"""Thresholds of categories, and the category that is asked for."""

from __future__ import annotations

from hx_projector import CATEGORIES, UNCATEGORISED
from hx_sidecar_schema import HxError


def default_thresholds() -> dict[str, float]:
    """Return the covered share, in percent, below which each category is warned of."""
    return {category.name: category.threshold for category in CATEGORIES}


def find_category(name: str) -> str:
    """Return a category's name, however it is capitalised.

    Raises:
        HxError: HX406 if there is none of that name.
    """
    names = [*(category.name for category in CATEGORIES), UNCATEGORISED]
    wanted = " ".join(name.lower().split())
    if wanted not in names:
        raise HxError(
            f"There is no category {name!r}.", code="HX406", hint=f"Take one of {', '.join(map(repr, names))}."
        )
    return wanted
