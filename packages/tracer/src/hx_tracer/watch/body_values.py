"""The ONNX values behind the FX nodes of `torch.cond`, `while_loop` and `scan` bodies, and walking such bodies."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from itertools import chain

import onnx_ir as ir
import torch
from torch.utils import _pytree as pytree

from hx_tracer.watch.fx_metadata import call_of, stamp


def bodies_of(node: ir.Node) -> list[ir.Graph]:
    """Return the graphs among a node's attributes."""
    graphs: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            graphs.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            graphs.extend(attribute.as_graphs())
    return graphs


def nodes_of(graph: ir.Graph) -> Iterator[ir.Node]:
    """Yield all nodes, those of a body before the node that has it."""
    for node in graph:
        for body in bodies_of(node) if node.attributes else ():
            yield from nodes_of(body)
        yield node


def body_inputs(graph: ir.Graph) -> list[ir.Value]:
    """Return the inputs of all bodies: what a loop carries and scans."""
    return [value for node in nodes_of(graph) for body in bodies_of(node) for value in body.inputs]


def stamp_bodies(module: torch.fx.GraphModule) -> None:
    """Give what ran in a body, but in no module call there, to the call that ran the operator with the body."""
    for fx_node in module.graph.nodes:
        call = call_of(fx_node)
        if call is None:
            continue
        for source in fx_node.all_input_nodes:
            body = getattr(module, str(source.target), None) if source.op == "get_attr" else None
            if not isinstance(body, torch.fx.GraphModule):
                continue
            for inner in body.graph.nodes:
                stamp(inner, call)
            stamp_bodies(body)


def body_values(
    program: torch.onnx.ONNXProgram, outer: Mapping[str | None, ir.Value]
) -> Iterator[tuple[torch.fx.Node, ir.Value]]:
    """Yield the FX nodes in bodies that an ONNX value stands for.

    The exporter translates a body to a function, whose inputs are the body's placeholders in order, and inlines it: in
    an If they are values of the graph around it, in a loop the body's own inputs, then values around it.

    Args:
        program: Translated, not yet optimised.
        outer: Values of the main graph by the names of their FX nodes.
    """
    exported = program.exported_program
    assert exported is not None
    made: dict[torch.fx.Node, ir.Node] = {}
    for node in nodes_of(program.model.graph):
        fx_node = node.meta.get("node")
        if fx_node is not None:
            made[fx_node] = node  # the last of its nodes has its results
    known = {node: value for node in exported.graph.nodes if (value := outer.get(node.name)) is not None}
    pending = [exported.graph_module]
    while pending:
        module = pending.pop()
        for fx_node in module.graph.nodes:
            if fx_node.op != "call_function" or fx_node not in made:
                continue
            sources = [arg for arg in fx_node.all_input_nodes if arg.op == "get_attr"]
            operands = [
                arg
                for arg in pytree.tree_leaves((fx_node.args, fx_node.kwargs))
                if isinstance(arg, torch.fx.Node) and arg not in sources
            ]
            # A Loop has one body where while_loop has two: of its condition, and last the one that is meant here.
            for source, graph in zip(reversed(sources), reversed(bodies_of(made[fx_node])), strict=False):
                body = getattr(module, str(source.target))
                known.update(_placeholders(body, made[fx_node], graph, operands, known))
                known.update(_results(body, made))
                yield from ((inner, known[inner]) for inner in body.graph.nodes if inner in known)
                pending.append(body)


def _placeholders(
    body: torch.fx.GraphModule,
    node: ir.Node,
    graph: ir.Graph,
    operands: list[torch.fx.Node],
    known: Mapping[torch.fx.Node, ir.Value],
) -> Iterator[tuple[torch.fx.Node, ir.Value]]:
    own = list(graph.inputs)[2 if node.op_type == "Loop" else 0 :]  # a Loop counts and is told to go on
    placeholders = body.graph.find_nodes(op="placeholder")
    around = operands[len(operands) - (len(placeholders) - len(own)) :]
    values = chain(own, (known.get(operand) for operand in around))
    return ((inner, value) for inner, value in zip(placeholders, values, strict=False) if value is not None)


def _results(
    body: torch.fx.GraphModule, made: Mapping[torch.fx.Node, ir.Node]
) -> Iterator[tuple[torch.fx.Node, ir.Value]]:
    for inner in body.graph.nodes:
        if inner.op != "call_function":
            continue
        if inner.target is operator.getitem and inner.args[0] in made:
            index, outputs = inner.args[1], made[inner.args[0]].outputs
            if isinstance(index, int) and index < len(outputs):
                yield inner, outputs[index]
        elif inner in made:
            yield inner, made[inner].outputs[0]
