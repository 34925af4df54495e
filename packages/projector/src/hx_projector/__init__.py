"""Which module call made each ONNX node, how that is known, and who consumes it.

Nothing is imported before it is used: `CATEGORIES`, `MEANINGS` and the records that are printed need neither onnx-ir
nor NumPy.
"""

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
