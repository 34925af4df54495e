"""How far two runs may be apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hx_extractor import Validation, compare

TOLERANCE = 1e-3
HALF_TOLERANCE = 1e-2
"""Of the largest magnitude of an output: in single precision, and in float16 or bfloat16."""


def difference(expected: np.ndarray[Any, Any], actual: np.ndarray[Any, Any]) -> Validation:
    """Return how far two arrays are apart, absolute and relative to the expected one's largest magnitude.

    Indices and truth values are equal or wrong: for them, relative is absolute.
    """
    found = compare({"": expected}, {"": actual})
    if np.issubdtype(expected.dtype, np.integer) or expected.dtype == np.bool_:
        return Validation(found.max_abs_error, found.max_abs_error)
    return found


def tolerance(dtypes: Iterable[Any]) -> float:
    """Return the largest relative difference that is a match, for tensors of these data types."""
    return HALF_TOLERANCE if any("float16" in str(dtype).lower() for dtype in dtypes) else TOLERANCE
