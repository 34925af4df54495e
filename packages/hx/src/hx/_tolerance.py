"""How far two runs may be apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

TOLERANCE = 1e-3
HALF_TOLERANCE = 1e-2
"""Of the largest magnitude of an output: in single precision, and in float16 or bfloat16."""


def tolerance(dtypes: Iterable[Any]) -> float:
    """Return the largest relative difference that is a match, for tensors of these data types."""
    return HALF_TOLERANCE if any("float16" in str(dtype).lower() for dtype in dtypes) else TOLERANCE
