"""Nodes whose results are drawn anew in every run."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

_DRAWING = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
)


def drawing_nodes(nodes: Iterable[ir.Node]) -> list[ir.Node]:
    """Return the nodes, of some, that draw random numbers without a fixed seed; a Dropout does while it trains."""
    return [
        node
        for node in nodes
        if not node.domain and "seed" not in node.attributes and (node.op_type in _DRAWING or _trains(node))
    ]


def _trains(node: ir.Node) -> bool:
    mode = node.inputs[2] if node.op_type == "Dropout" and len(node.inputs) > 2 else None
    constant = mode.const_value if mode is not None else None
    return mode is not None and (constant is None or bool(constant.numpy()))
