"""Dimensions with the names that the final graph has for the symbols of the trace."""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx_ir as ir

from hx_graph import dims_of

SymbolNames = Mapping[str, str]
"""Symbol of the trace (`s77`) to the name that the graph's inputs have for it (`batch`)."""


def renamed_dims(value: ir.Value, names: SymbolNames) -> list[int | str]:
    """Return the dimensions of a value: integers, expressions over final names, `?`; none where the rank is unknown."""
    return [dim if isinstance(dim, int) else rename(dim, names) for dim in dims_of(value.shape)]


def rename(expression: str, names: SymbolNames) -> str:
    """Return a size expression with the symbols of the trace replaced by their final names."""
    return re.sub(r"[A-Za-z_]\w*", lambda match: names.get(match[0], match[0]), expression)
