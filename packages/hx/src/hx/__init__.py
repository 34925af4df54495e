"""PyTorch models to ONNX with their modules: export, look, cut, verify, compare."""

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
