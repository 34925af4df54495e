"""The ONNX values behind the FX nodes of `torch.cond`, `while_loop` and `scan` bodies.

Measured on torch 2.13: the exporter translates a body to a function, whose inputs are the body's placeholders in order,
and inlines it. In an If the placeholders are then values of the graph around it; in a Loop or Scan the inputs of the
body first, then values around it. The last ONNX node of an FX node has its results.
"""

import operator
from collections.abc import Iterator, Mapping
from itertools import chain

import onnx_ir as ir
import torch

from hx_graph import nested_graphs
from hx_tracer._torch_internals import pytree
from hx_tracer.watch.fx_metadata import call_of, mark


def nodes_of(graph: ir.Graph) -> Iterator[ir.Node]:
    """Yield all nodes of a graph, those of a body before the node that has it: operands before their readers."""
    for node in graph:
        for _, body in nested_graphs(node) if node.attributes else ():
            yield from nodes_of(body)
        yield node


def mark_bodies(module: torch.fx.GraphModule) -> None:
    """Mark the FX nodes in bodies that no call made with the call that ran the operator that has the body."""
    for fx_node in module.graph.nodes:
        call = call_of(fx_node)
        if call is None:
            continue
        for source in fx_node.all_input_nodes:
            body = getattr(module, str(source.target), None) if source.op == "get_attr" else None
            if not isinstance(body, torch.fx.GraphModule):
                continue
            for inner in body.graph.nodes:
                mark(inner, call)
            mark_bodies(body)


def body_values(
    program: torch.onnx.ONNXProgram, outer: Mapping[str | None, ir.Value]
) -> Iterator[tuple[torch.fx.Node, ir.Value]]:
    """Yield the FX nodes in bodies that have an ONNX value, with the value, of a program that is not yet optimised.

    `outer` has the values of the main graph by the names of their FX nodes.
    """
    exported = program.exported_program
    assert exported is not None
    nodes = ((node.meta.get("node"), node) for node in nodes_of(program.model.graph))
    made: dict[torch.fx.Node, ir.Node] = {fx_node: node for fx_node, node in nodes if fx_node is not None}
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
            graphs = [graph for _, graph in nested_graphs(made[fx_node])]
            # A Loop has one body where while_loop has two: that of its condition, and last the one that is the Loop's.
            for source, graph in zip(reversed(sources), reversed(graphs), strict=False):
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
    own = list(graph.inputs)[2 if node.op_type == "Loop" else 0 :]  # the number of the iteration, and the condition
    placeholders = body.graph.find_nodes(op="placeholder")
    around = operands[len(operands) - (len(placeholders) - len(own)) :]
    values = chain(own, map(known.get, around))
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
