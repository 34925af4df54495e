"""What the exporter's optimisation made of each value.

`ONNXProgram.optimize` removes, merges and replaces nodes. Every port and every stamped operation is known on the
graph before it; this module carries that knowledge to the graph after it, by the values that survive.

A value survives as itself, under its name (a rewrite gives its result the name of what it replaces), or as an equal
value: an Identity of it, or the same operation on the same inputs, which common-subexpression elimination merged.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir
import torch

from hx_tracer.watch.body_values import bodies_of, body_inputs, body_values, nodes_of
from hx_tracer.watch.fx_metadata import PORTS, PortKey, call_of

_SIZE_OPERATORS = ("Shape", "Size")
_FX_NODE = "pkg.torch.onnx.fx_node"
_KIND = "pkg.torch.export.graph_signature.InputSpec.kind"


@dataclass(frozen=True)
class RawNode:
    """A node as it was before optimisation; inputs and attributes of the live one change in place."""

    domain: str
    op_type: str
    overload: str
    version: int | None
    inputs: tuple[ir.Value | None, ...]
    outputs: tuple[ir.Value, ...]
    attributes: tuple[ir.Attr, ...]
    call: int | None
    node: ir.Node | None = None
    """The live node."""


class RawGraph:
    """The graph before optimisation: nodes with the calls that made them, and the values of all ports.

    Args:
        program: Translated, not yet optimised. Not changed.
        size_calls: First call that computed each symbolic size, by its expression.
    """

    def __init__(self, program: torch.onnx.ONNXProgram, size_calls: Mapping[str, int]) -> None:
        graph = program.model.graph
        assert program.exported_program is not None
        fx_nodes = program.exported_program.graph.nodes
        self._size_calls = size_calls
        self._fx_nodes = {node.name: node for node in fx_nodes}
        self.functions = frozenset(program.model.functions)
        self.nodes = [_raw_node(node, self.call_of(node)) for node in nodes_of(graph)]
        self.producer = {id(out): node for node in self.nodes for out in node.outputs}
        self.initializers = {id(value): value for value in graph.initializers.values()}
        self.inputs = (*graph.inputs, *body_inputs(graph))
        self.input_dims = {id(value): list(value.shape or ()) for value in graph.inputs}
        self.outputs = tuple(graph.outputs)
        self.weights = {id(value): value.const_value for value in graph.initializers.values()}
        self.constants = {
            id(value): value.const_value
            for value in graph.initializers.values()
            if value.metadata_props.get(_KIND) == "CONSTANT_TENSOR"
        }
        """Tensors that the model's code made; parameters and buffers are weights, and no constants."""
        by_name = {out.name: out for node in graph for out in node.outputs}
        for value in (*graph.inputs, *graph.initializers.values()):
            # Initializers are renamed to the parameter; the FX placeholder keeps its own name.
            source = value.meta.get("node")
            by_name[value.name if source is None else source.name] = value
        self.ports: dict[PortKey, ir.Value] = {}
        self.sizes: list[tuple[ir.Value, str]] = []
        """Scalars that hold a size, with the expression over the trace's symbols."""
        for fx_node in fx_nodes:
            value = by_name.get(fx_node.name)
            if value is None:
                continue
            self.ports.update((key, value) for key in fx_node.meta.get(PORTS, ()))
            if isinstance(fx_node.meta.get("val"), torch.SymInt):
                self.sizes.append((value, str(fx_node.meta["val"])))
        for fx_node, value in body_values(program, by_name):
            self.ports.update((key, value) for key in fx_node.meta.get(PORTS, ()))
        self.live = self._backward(self.outputs, stop=frozenset())
        """Ids of the values that an output depends on."""
        self.variable = {id(value) for value in self.inputs}
        """Ids of the values that depend on an input."""
        self.data = set(self.variable)
        """Those that depend on more of it than sizes."""
        for node in self.nodes:
            outputs = [id(out) for out in node.outputs]
            if any(id(value) in self.variable for value in node.inputs):
                self.variable.update(outputs)
            if node.op_type not in _SIZE_OPERATORS and any(id(value) in self.data for value in node.inputs):
                self.data.update(outputs)

    def call_of(self, node: ir.Node) -> int | None:
        """Return the call that ran the operation behind a node; None where the exporter kept no trace of it."""
        fx_node: torch.fx.Node | None = node.meta.get("node")
        if fx_node is None:  # inlined from a function: copies have the metadata, "%NAME : ...", alone
            written = node.metadata_props.get(_FX_NODE, "")
            fx_node = self._fx_nodes.get(written.partition(" ")[0].removeprefix("%"))
        if fx_node is None:
            return None
        call = call_of(fx_node)
        return _size_call(fx_node, self._size_calls) if call is None else call

    def ancestors(self, outputs: Iterable[ir.Value], stop: Iterable[ir.Value]) -> set[int]:
        """Return the ids of the values that `outputs` are computed from, up to and including `stop`."""
        return self._backward(outputs, frozenset(id(value) for value in stop))

    def _backward(self, outputs: Iterable[ir.Value], stop: frozenset[int]) -> set[int]:
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


def _raw_node(node: ir.Node, call: int | None) -> RawNode:
    made_inside = [value for body in bodies_of(node) for value in body.outputs]
    return RawNode(
        node.domain,
        node.op_type,
        node.overload,
        node.version,
        (*node.inputs, *made_inside) if made_inside else tuple(node.inputs),
        tuple(node.outputs),
        tuple(node.attributes.values()),
        call,
        node,
    )


def _size_call(fx_node: torch.fx.Node, size_calls: Mapping[str, int]) -> int | None:
    """Sizes are made anew after every trace, outside of every call: the one that first asked for it made it.

    A step of a longer expression belongs to the call that asked for the whole; a size of the model's own input
    that no call asked for is read in the root's scope.
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


class Survivors:
    """From values before optimisation to values after it.

    Args:
        raw: The graph before.
        graph: The same graph object after. Inputs and outputs may be given other names later.
    """

    def __init__(self, raw: RawGraph, graph: ir.Graph) -> None:
        self.raw = raw
        self._graph = graph
        self._raw_inputs = {id(node.node): node.inputs for node in raw.nodes}
        self._raw_by_name = {out.name: node for node in raw.nodes for out in node.outputs}
        self._raw_calls = {id(node.node): node.call for node in raw.nodes}
        self._alive: dict[int, ir.Value] = {}
        self._by_name: dict[str | None, ir.Value] = {}
        self._names: dict[int, str | None] = {}
        """Of the values of the graph, right after optimisation."""
        outputs = (out for node in nodes_of(graph) for out in node.outputs)
        for value in (*graph.inputs, *body_inputs(graph), *graph.initializers.values(), *outputs):
            self._alive[id(value)] = value
            self._by_name[value.name] = value
            self._names[id(value)] = value.name
        main = {id(out) for node in graph for out in node.outputs} | {id(v) for v in graph.inputs}
        main |= {id(value) for value in graph.initializers.values()}
        self._in_body = self._alive.keys() - main
        self._survivors: dict[int, ir.Value | None] = {}
        # Value numbering: values of one class are equal.
        self._numbers: dict[Hashable, int] = {}
        self._class_of: dict[int, int | None] = {}
        self._members: dict[int | None, list[ir.Value]] = {}
        for value in (*raw.inputs, *raw.initializers.values()):
            self._join(value, id(value))
        for node in raw.nodes:
            self._number(node)

    def survivor(self, value: ir.Value) -> ir.Value | None:
        """Return the value of the final graph that equals a value from before; None where there is none."""
        if id(value) not in self._survivors:
            members = self._members.get(self._class_of.get(id(value)), ())
            found = (self._same(member) for member in members)
            # A body has its values only while it runs: they stand for no others.
            equal = (v for v in found if v is not None and id(v) not in self._in_body)
            self._survivors[id(value)] = self._same(value) or next(equal, None)
        return self._survivors[id(value)]

    def name_of(self, value: ir.Value) -> str:
        """Return the final name of the survivor of a value; of a removed value its own, with a suffix where it is taken.

        Only names that a caller gave to inputs and outputs are taken.
        """
        survivor = self.survivor(value)
        if survivor is not None:
            return str(survivor.name)
        taken = {border.name for border in (*self._graph.inputs, *self._graph.outputs)}
        return f"{value.name}.removed" if value.name in taken else str(value.name)

    def _same(self, value: ir.Value) -> ir.Value | None:
        found = self._alive.get(id(value)) or self._by_name.get(value.name)
        if found is not None and self.raw.weights.get(id(value), found.const_value) is not found.const_value:
            return None  # Conv+BatchNorm fusion puts new weights under the name of the old ones
        return found

    def origins(self, graph: ir.Graph) -> dict[str, list[int]]:
        """Return, for every node of the final graph that is known, the calls that its operations ran in.

        Several where the optimiser made one node of the operations of several calls.
        """
        found: dict[str, list[int]] = {}
        ambiguous: set[str] = set()
        for node in nodes_of(graph):
            known = self._raw_calls.get(id(node))
            calls = [] if known is None else [known]
            for out in node.outputs if known is None else ():
                raw = (
                    self.raw.producer.get(id(out))
                    or self._raw_by_name.get(self._names.get(id(out)))
                    or self._replaced_by(out)
                )
                if raw is not None:
                    calls = self._calls_behind(raw)
                    break
            if not calls and (call := self.raw.call_of(node)) is not None:
                calls = [call]
            key = next((out.name for out in node.outputs if out.name), None)
            if calls and key:
                if key in found:  # two bodies may use one name
                    ambiguous.add(key)
                found[key] = calls
        return {key: calls for key, calls in found.items() if key not in ambiguous}

    def _replaced_by(self, value: ir.Value) -> RawNode | None:
        """The removed node whose result a new value replaces: a surviving node reads it in the same place."""
        for user, index in value.uses():
            before = self._raw_inputs.get(id(user))
            if before is None:  # a new node too, for the one that gave its result this name
                alike = self._raw_by_name.get(self._names.get(id(next(iter(user.outputs), None))))
                before = alike.inputs if alike is not None and alike.op_type == user.op_type else ()
            old = before[index] if index < len(before) else None
            if old is not None:
                return self.raw.producer.get(id(old))
        return None

    def _calls_behind(self, node: RawNode) -> list[int]:
        """Calls of a removed node and of the removed nodes whose data it was computed from.

        Constants and sizes, which calls share, say nothing about the operation.
        """
        calls: set[int] = set()
        pending, seen = [node], {id(node)}
        while pending:
            current = pending.pop()
            if current.call is not None:
                calls.add(current.call)
            for value in current.inputs:
                source = None if value is None else self.raw.producer.get(id(value))
                if (
                    source is not None
                    and id(value) in self.raw.data
                    and id(source) not in seen
                    and value is not None
                    and self.survivor(value) is None
                ):
                    seen.add(id(source))
                    pending.append(source)
        return sorted(calls)

    def _join(self, value: ir.Value, key: Hashable) -> None:
        number = self._numbers.setdefault(key, len(self._numbers))
        self._class_of[id(value)] = number
        self._members.setdefault(number, []).append(value)

    def _number(self, node: RawNode) -> None:
        inputs = tuple(None if v is None else self._class_of.get(id(v), -id(v)) for v in node.inputs)
        if node.domain == "" and node.op_type == "Identity":
            self._class_of[id(node.outputs[0])] = inputs[0]
            self._members.setdefault(inputs[0], []).append(node.outputs[0])
            return
        if all(_comparable(attribute) for attribute in node.attributes):
            attributes = tuple(sorted((a.name, str(a.value)) for a in node.attributes))
            key: Hashable = (node.domain, node.op_type, node.overload, attributes, inputs, len(node.outputs))
        else:
            key = id(node)
        for index, out in enumerate(node.outputs):
            self._join(out, (key, index))


_PLAIN = frozenset(
    {
        ir.AttributeType.INT,
        ir.AttributeType.INTS,
        ir.AttributeType.FLOAT,
        ir.AttributeType.FLOATS,
        ir.AttributeType.STRING,
        ir.AttributeType.STRINGS,
    }
)


def _comparable(attribute: ir.Attr) -> bool:
    return attribute.type in _PLAIN and not attribute.is_ref()
