"""An exported model as viewers show it: calls, nodes, edges and numbers in one record. Imports no torch, ever."""

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
