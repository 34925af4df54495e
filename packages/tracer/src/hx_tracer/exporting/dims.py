"""Shapes of values as records write them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx_ir as ir

UNKNOWN = "?"
"""A dimension that nothing is known of; two of them are not equal."""

Dims = Mapping[str, str]
"""Symbol of the trace (`s77`) to the name that the graph's input carries (`batch`)."""


def dims_of(value: ir.Value, dims: Dims) -> list[int | str]:
    """Return the dimensions of a value: integers, expressions over final symbols, `?`."""
    if value.shape is None:
        return []
    return [dim if isinstance(dim, int) else rename(str(dim.value or UNKNOWN), dims) for dim in value.shape]


def rename(expression: str, dims: Dims) -> str:
    """Return a size expression with the trace's symbols replaced."""
    return re.sub(r"[A-Za-z_]\w*", lambda match: dims.get(match[0], match[0]), expression)
