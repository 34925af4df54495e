"""Acting on module calls of an ONNX model: what was read of it is put to use. Imports no torch, ever."""

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
