"""Time by module call: ONNX Runtime's own profile, read with a sidecar. Imports no torch, ever.

Nothing is imported before it is used: the records need neither NumPy nor onnx-ir.
"""

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
