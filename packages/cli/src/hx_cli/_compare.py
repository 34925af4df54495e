"""How far two runs are apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

TOLERANCE = 1e-3
HALF_TOLERANCE = 1e-2
"""Of the largest magnitude of an output: in single precision, and in float16 or bfloat16."""


@dataclass(frozen=True)
class Difference:
    """The largest difference between two arrays, absolute and as a share of the expected one's largest magnitude."""

    max_abs: float = 0.0
    relative: float = 0.0


def difference(expected: np.ndarray[Any, Any], actual: np.ndarray[Any, Any]) -> Difference:
    """Return how far two arrays are apart; equal infinities and NaN in both places are no difference.

    Args:
        expected: Numbers, booleans included, any shape.
        actual: The same shape.

    Raises:
        ValueError: If the shapes differ; broadcasting would hide a wrong rank.
    """
    if expected.shape != actual.shape:
        raise ValueError(f"shape {list(actual.shape)} instead of {list(expected.shape)}")
    if not expected.size:
        return Difference()
    kind = np.complex128 if np.iscomplexobj(expected) or np.iscomplexobj(actual) else np.float64
    left, right = expected.astype(kind), actual.astype(kind)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.where(same, 0, left - right))
    worst = float(np.nan_to_num(apart, nan=np.inf).max())
    if not np.issubdtype(expected.dtype, np.inexact):  # indices and truth values are equal or wrong
        return Difference(worst, worst)
    finite = np.abs(left[np.isfinite(left)])
    largest = float(finite.max()) if finite.size else 0.0
    return Difference(worst, worst / largest if largest else worst)


def tolerance(dtypes: Iterable[Any]) -> float:
    """Return the largest relative difference that is a match, for outputs of these data types."""
    return HALF_TOLERANCE if any("float16" in str(dtype) for dtype in dtypes) else TOLERANCE
