"""The graph as the exporter translated it, before its optimisation, with what is known of every node and port.

`ONNXProgram.optimize` removes, merges and replaces nodes in place; this keeps what it changes.

Measured on torch 2.13: a node has its FX node in `meta`; one that was inlined from a function has only the text of it in
its metadata. Values are named after FX nodes; initializers are renamed to the parameter. Sizes are made anew after the
trace, outside of every call.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import onnx_ir as ir
import torch

from hx_graph import body_inputs, is_size_query, nested_graphs
from hx_tracer.watch.body_values import body_values, nodes_of
from hx_tracer.watch.fx_metadata import PORTS, PortKey, call_of

_FX_NODE = "pkg.torch.onnx.fx_node"
_KIND = "pkg.torch.export.graph_signature.InputSpec.kind"


@dataclass(frozen=True)
class RawNode:
    """A node as it was before optimisation, which changes inputs and attributes of the node itself."""

    domain: str
    op_type: str
    overload: str
    version: int | None
    inputs: tuple[ir.Value | None, ...]
    outputs: tuple[ir.Value, ...]
    attributes: tuple[ir.Attr, ...]
    call: int | None
    """Row of the call that ran the operation behind it; None where that is not known."""
    node: ir.Node | None = None
    """The node itself."""

    @property
    def operator(self) -> tuple[str, str, str]:
        """Domain, name and overload of its operator."""
        return self.domain, self.op_type, self.overload

    @classmethod
    def of(cls, node: ir.Node, call: int | None) -> Self:
        """Return a node as it is now; what its bodies return is among its inputs."""
        inputs = (*node.inputs, *(value for _, body in nested_graphs(node) for value in body.outputs))
        operator = node.domain, node.op_type, node.overload, node.version
        return cls(*operator, inputs, tuple(node.outputs), tuple(node.attributes.values()), call, node)


class RawGraph:
    """The graph before optimisation: nodes with the calls that made them, and the values of all ports."""

    def __init__(self, program: torch.onnx.ONNXProgram, size_calls: Mapping[str, int]) -> None:
        """Read a program that is translated and not yet optimised; `size_calls` are those of `CallRecorder`."""
        graph = program.model.graph
        assert program.exported_program is not None
        fx_nodes = program.exported_program.graph.nodes
        self._size_calls = size_calls
        fx_graphs = {graph: program.exported_program.graph}
        for node in nodes_of(graph):
            if isinstance(node.graph, ir.Graph) and (fx_node := node.meta.get("node")) is not None:
                fx_graphs.setdefault(node.graph, fx_node.graph)
        self._fx_nodes = {each: {node.name: node for node in fx.nodes} for each, fx in fx_graphs.items()}
        """By name, of the main graph and of bodies: these use the same names."""
        self.functions = frozenset(program.model.functions)
        self.nodes = [RawNode.of(node, self.call_of(node)) for node in nodes_of(graph)]
        self.producer = {id(out): node for node in self.nodes for out in node.outputs}
        self.initializers = tuple(graph.initializers.values())
        self.parameters = {id(value): str(value.name) for value in self.initializers}
        """What initializers are called as parameters: one that is an output of the graph gets the name of that later."""
        self.inputs = (*graph.inputs, *body_inputs(graph))
        self.outputs = tuple(graph.outputs)
        self.input_dims = {id(value): list(value.shape or ()) for value in graph.inputs}
        self.weights = {id(value): value.const_value for value in self.initializers}
        self.constants = {id(v) for v in self.initializers if v.metadata_props.get(_KIND) == "CONSTANT_TENSOR"}
        """Ids of weights that the model's code made, which are no parameters or buffers."""
        by_name = {out.name: out for node in graph for out in node.outputs}
        for value in (*graph.inputs, *self.initializers):
            source = value.meta.get("node")
            by_name[value.name if source is None else source.name] = value
        self.ports: dict[PortKey, ir.Value] = {}
        self.sizes: list[tuple[ir.Value, str]] = []
        """Scalars that are a size, with the expression over the symbols of the trace."""
        for fx_node in fx_nodes:
            if (value := by_name.get(fx_node.name)) is not None and isinstance(fx_node.meta.get("val"), torch.SymInt):
                self.sizes.append((value, str(fx_node.meta["val"])))
        known = ((fx_node, by_name[fx_node.name]) for fx_node in fx_nodes if fx_node.name in by_name)
        for fx_node, value in (*known, *body_values(program, by_name)):
            self.ports.update((key, value) for key in fx_node.meta.get(PORTS, ()))
        self.live = self.ancestors(graph.outputs)
        """Ids of the values that an output depends on."""
        self.variable = {id(value) for value in self.inputs}
        """Ids of the values that depend on an input."""
        self.data = set(self.variable)
        """Ids of those that depend on elements of an input, not on sizes alone."""
        for node in self.nodes:
            outputs = [id(out) for out in node.outputs]
            if any(id(value) in self.variable for value in node.inputs):
                self.variable.update(outputs)
            reads_size = node.node is not None and is_size_query(node.node)
            if not reads_size and any(id(value) in self.data for value in node.inputs):
                self.data.update(outputs)

    def call_of(self, node: ir.Node) -> int | None:
        """Return the row of the call that ran the operation behind a node; None where the exporter kept no FX node."""
        fx_node: torch.fx.Node | None = node.meta.get("node")
        if fx_node is None:  # inlined from a function: copies have the metadata, "%NAME : ...", alone
            written = node.metadata_props.get(_FX_NODE, "")
            known = self._fx_nodes.get(node.graph, {}) if isinstance(node.graph, ir.Graph) else {}
            fx_node = known.get(written.partition(" ")[0].removeprefix("%"))
        if fx_node is None:
            return None
        call = call_of(fx_node)
        return _size_call(fx_node, self._size_calls) if call is None else call

    def ancestors(self, outputs: Iterable[ir.Value], stop: Iterable[int] = ()) -> set[int]:
        """Return the ids of the values that `outputs` are computed from, up to and including the ids in `stop`."""
        seen: set[int] = set()
        pending = list(outputs)
        while pending:
            value = pending.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            node = self.producer.get(id(value))
            if node is not None and id(value) not in stop:
                pending.extend(used for used in node.inputs if used is not None)
        return seen


def _size_call(fx_node: torch.fx.Node, size_calls: Mapping[str, int]) -> int | None:
    """Return the call that a node of a size belongs to: the first that computed the size while the model was traced.

    A step of a longer expression belongs to the call that computed the whole. A size of the model's own input that no
    call computed belongs to the root; other nodes belong to no call.
    """
    pending = [fx_node]
    while pending:
        node = pending.pop(0)
        if not isinstance(node.meta.get("val"), torch.SymInt):
            continue
        call = size_calls.get(str(node.meta["val"]))
        if call is not None:
            return call
        pending += node.users
    size = isinstance(fx_node.meta.get("val"), torch.SymInt)
    return 0 if size and any(source.op == "placeholder" for source in fx_node.all_input_nodes) else None
