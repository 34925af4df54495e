"""Any module call of an exported model as a runnable ONNX model. Imports no torch, ever.

`load`, `Hierarchy` and `Call` import nothing of ONNX; what cuts and runs is imported when it is used first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_extractor._hierarchy import Call, Hierarchy
from hx_extractor._load import load, load_transformed
from hx_extractor._tree import TreeEntry, TreeReport
from hx_sidecar_schema import lazy_names

if TYPE_CHECKING:
    from hx_extractor.cut.cut import Extraction, Weights
    from hx_extractor.run.check import Validation, compare
    from hx_extractor.run.numbers import Difference, difference

__all__ = [
    "Call",
    "Difference",
    "Extraction",
    "Hierarchy",
    "TreeEntry",
    "TreeReport",
    "Validation",
    "Weights",
    "compare",
    "difference",
    "load",
    "load_transformed",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        ".cut.cut": ("Extraction", "Weights"),
        ".run.check": ("Validation", "compare"),
        ".run.numbers": ("Difference", "difference"),
    },
)
