"""Copies of bodies that read other values around them."""

from collections.abc import Callable

import onnx_ir as ir

from hx_graph._nested import nodes_in
from hx_graph._reads import captures


def copied_attribute(
    attribute: ir.Attr, read: Callable[[ir.Value], ir.Value], finish: Callable[[ir.Graph, ir.Graph], None]
) -> ir.Attr:
    """Return an attribute for a copy of a node: itself, but for bodies, which are copied.

    Args:
        attribute: Not changed. No body returns a value from around it: neither ONNX Runtime nor onnx_ir takes that.
        read: Returns what a copy reads instead of a value of the graph around it.
        finish: Told of each copy and the body that it is one of; bodies inside are part of it.
    """

    def copied(body: ir.Graph) -> ir.Graph:
        copy = body.clone(allow_outer_scope_values=True)
        instead = {value: read(value) for value in captures(body)}
        for _, node in nodes_in(copy):
            for index, value in enumerate(node.inputs):
                if value in instead:
                    node.replace_input_with(index, instead[value])
        finish(copy, body)
        return copy

    if attribute.is_ref():
        return attribute
    if attribute.type == ir.AttributeType.GRAPH:
        return ir.AttrGraph(attribute.name, copied(attribute.as_graph()))
    if attribute.type == ir.AttributeType.GRAPHS:
        return ir.AttrGraphs(attribute.name, [copied(body) for body in attribute.as_graphs()])
    return attribute
