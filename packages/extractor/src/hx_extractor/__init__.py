"""Any module call of an exported model as a runnable ONNX model. Imports no torch, ever.

`load`, `Hierarchy` and `Call` import nothing of ONNX; what cuts and runs is imported when it is used first.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_extractor._hierarchy import Call, Hierarchy
from hx_extractor._load import load, load_transformed
from hx_extractor._tree import TreeEntry, TreeReport

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

_MODULES = {
    "cut.cut": ("Extraction", "Weights"),
    "run.check": ("Validation", "compare"),
    "run.numbers": ("Difference", "difference"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"hx_extractor.{module}"), name)
    raise AttributeError(f"module 'hx_extractor' has no attribute {name!r}")
