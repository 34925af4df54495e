"""Letting nodes read other values, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir

from hx_graph import bodies_in, nested_graphs, nodes_below


def read_instead(node: ir.Node, taken: Mapping[ir.Value, ir.Value]) -> None:
    """Let a node and its bodies read other values instead of some."""
    for each in (node, *(inner for _, inner in nodes_below(node))):
        for position, value in enumerate(each.inputs):
            if value is not None and value in taken:
                each.replace_input_with(position, taken[value])
    for _, graph in nested_graphs(node):
        for body in (graph, *bodies_in(graph)):
            for position, value in enumerate(body.outputs):
                if value in taken:
                    body.outputs[position] = taken[value]


def read_nothing(nodes: Iterable[ir.Node]) -> None:
    """Let nodes and their bodies, which are not needed any more, read nothing: values know who reads them."""
    for node in nodes:
        for each in (node, *(inner for _, inner in nodes_below(node))):
            for position in range(len(each.inputs)):
                each.replace_input_with(position, None)
        for _, graph in nested_graphs(node):
            for body in (graph, *bodies_in(graph)):
                body.outputs.clear()
