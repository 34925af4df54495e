"""PyTorch models to ONNX, with every module call recorded on the way. Nothing is imported before it is used."""

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
