"""Nodes whose results are drawn anew in every run."""

from collections.abc import Iterable

import onnx_ir as ir

from hx_graph._dims import is_size_query
from hx_graph._nested import nodes_below
from hx_graph._reads import in_order, reads

_DRAWING = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")


def drawing_nodes(nodes: Iterable[ir.Node]) -> list[ir.Node]:
    """Return the nodes, of some, that draw random numbers without a fixed seed; a Dropout does while it trains."""
    unseeded = (node for node in nodes if not node.domain and "seed" not in node.attributes)
    return [node for node in unseeded if node.op_type in _DRAWING or _trains(node)]


def drawn_values(graph: ir.Graph) -> set[str]:
    """Return the values of a graph that derive from random numbers, other than through sizes."""
    found: set[str] = set()
    for node in in_order(graph):
        inside = (node, *(inner for _, inner in nodes_below(node)))
        if drawing_nodes(inside) or (not is_size_query(node) and not found.isdisjoint(reads(node))):
            found.update(out.name for out in node.outputs if out.name)
    return found


def _trains(node: ir.Node) -> bool:
    mode = node.inputs[2] if node.op_type == "Dropout" and len(node.inputs) > 2 else None
    constant = mode.const_value if mode is not None else None
    return mode is not None and (constant is None or bool(constant.numpy()))
