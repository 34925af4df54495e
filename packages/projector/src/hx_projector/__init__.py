"""Which module call made each ONNX node, how that is known, and who consumes it.

Where things are; each folder says in which order to read its files:

* `attribution`: owners of nodes, statuses of calls, the sidecar. A node gets its owner in `attribution.owners`.
* `witness`: owners and ports by tensors that are equal in PyTorch and in the graph.
* `file_metadata`: what a file says of its modules; what is written into it and taken out.
* `relinking`: owners carried to what a tool made of an export.
* `validation`: whether a model and its sidecar agree, and repairs.
* `comparison`: topology of graphs. `cost`: what nodes and calls compute.

Nothing is imported before it is used: `CATEGORIES`, `MEANINGS` and the records that are printed need neither onnx-ir
nor NumPy.
"""

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
