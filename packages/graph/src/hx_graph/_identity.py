"""What names a node: the path of its graph and its first output."""

from __future__ import annotations

import onnx_ir as ir


def output_of(node: ir.Node) -> str:
    """Return the first non-empty output: with the path of the graph, the node's identity."""
    for out in node.outputs:
        name = out.name
        if name:
            return name
    return ""


def body_path(path: str, node: ir.Node, attribute: str) -> str:
    """Return the path of a node's body.

    Args:
        path: Of the graph that the node is in; empty for the main graph.
        node: The control-flow node.
        attribute: As `nested_graphs` names the body.
    """
    return f"{path}/{output_of(node)}.{attribute}" if path else f"{output_of(node)}.{attribute}"


def function_path(key: ir.OperatorIdentifier) -> str:
    """Return the path of a model-local function, or the name of an operator: domain, name and overload, `::` between.

    ONNX's own domain and an empty overload are left out.
    """
    return "::".join(part for part in key if part)
