"""Any module call of an exported model as a runnable ONNX model. Imports no torch, ever."""

from hx_extractor._examples import example_array
from hx_extractor._extract import Extraction, Weights
from hx_extractor._load import HierarchicalModel, load, load_transformed, read_model
from hx_extractor._numbers import Difference, difference
from hx_extractor._run import make_session, run_session
from hx_extractor._transformed import infer_types
from hx_extractor._validate import Validation, compare

__all__ = [
    "Difference",
    "Extraction",
    "HierarchicalModel",
    "Validation",
    "Weights",
    "compare",
    "difference",
    "example_array",
    "infer_types",
    "load",
    "load_transformed",
    "make_session",
    "read_model",
    "run_session",
]
