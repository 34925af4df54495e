"""Export PyTorch models to ONNX, know which module call made every node, cut any call out as a model of its own.

Examples:
    >>> import torch, hx
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> exported = hx.export(model, (torch.ones(2, 4),))
    >>> part = exported["0"].extract()
    >>> part.run(part.example_inputs())["output"].shape
    (2, 3)

Importing this module imports neither torch nor onnx_ir; each function imports what it needs when it is called.
"""

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
