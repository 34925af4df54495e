"""Walks over ONNX graphs, the tree of calls and the rule of the cut: what hx's packages share.

Nothing is imported before it is used. Who imports this package before onnx_ir imports onnx_ir without sympy.
"""

from hx_graph._without_sympy import defer_sympy
from hx_sidecar_schema import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)

defer_sympy()
