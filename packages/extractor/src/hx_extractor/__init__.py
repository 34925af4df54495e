"""Any module call of an exported model as a runnable ONNX model. Imports no torch, ever."""

from hx_extractor._load import HierarchicalModel, load, load_transformed, read_model
from hx_extractor._transformed import infer_types
from hx_extractor.cut.cut import Extraction, Weights
from hx_extractor.run.check import Validation, compare
from hx_extractor.run.examples import example_array
from hx_extractor.run.numbers import Difference, difference
from hx_extractor.run.session import make_session, run_session

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
