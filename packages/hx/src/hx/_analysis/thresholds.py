"""Thresholds of categories, and the category that is asked for."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hx_projector import CATEGORIES, UNCATEGORISED
from hx_sidecar_schema import HxError


def read_thresholds(texts: Iterable[str], file: Path | None) -> dict[str, float]:
    """Return the covered share, in percent, below which each category is warned of.

    Args:
        texts: `NAME=PERCENT`; these win over the file.
        file: TOML with `NAME = PERCENT`, at its top or in a table `thresholds`.

    Raises:
        HxError: HX406 if the file cannot be read, a name is no category, or a value no percentage.
    """
    thresholds = {category.name: category.threshold for category in CATEGORIES}
    if file is not None:
        for name, value in _table(file).items():
            thresholds[find_category(name)] = _percent(value, name)
    for text in texts:
        name, equals, value = text.rpartition("=")
        if not equals:
            raise HxError(
                f"Threshold {text!r} is not NAME=PERCENT.",
                code="HX406",
                hint="Write it like --threshold activation=99.",
            )
        thresholds[find_category(name)] = _percent(value, name)
    return thresholds


def find_category(name: str) -> str:
    """Return a category's name, however it is capitalised.

    Raises:
        HxError: HX406 if there is none of that name.
    """
    names = [*(category.name for category in CATEGORIES), UNCATEGORISED]
    wanted = " ".join(name.lower().split())
    if wanted not in names:
        raise HxError(
            f"There is no category {name!r}.",
            code="HX406",
            hint=f"Take one of {', '.join(map(repr, names))}.",
        )
    return wanted


def _table(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = tomllib.load(stream)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HxError(
            f"Thresholds {str(file)!r} cannot be read: {reason}.",
            code="HX406",
            hint="Give a TOML file with lines like `activation = 99`.",
        ) from error
    table = content.get("thresholds", content)
    return table if isinstance(table, dict) else content


def _percent(value: object, name: str) -> float:
    try:
        number = (
            float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else -1.0
        )
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise HxError(
            f"Threshold {value!r} of {name!r} is no percentage.",
            code="HX406",
            hint="Give a number from 0 to 100, like --threshold activation=99.",
        )
    return number
