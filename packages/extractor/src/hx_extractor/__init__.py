"""Any module call of an exported model as a runnable ONNX model. Imports no torch, ever.

`load`, `Hierarchy` and `Call` import nothing of ONNX; what cuts and runs is imported when it is used first.
"""

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
