"""What the exporter's optimisation made of each value.

Ports and calls are known on the graph before optimisation; this carries them to the graph after it, by the values that
survive. A value survives as itself (the same object); under its name (a rewrite gives its result the name of what it
replaces); or as an equal value: an Identity of it, or the same operation on the same inputs, which elimination of common
subexpressions merged. Equal values are found by value numbering. Seen on torch 2.13 with onnxscript 0.7.
"""

from __future__ import annotations

from collections.abc import Hashable

import onnx_ir as ir

from hx_graph import body_inputs, output_of
from hx_tracer.exporting.raw_graph import RawGraph, RawNode
from hx_tracer.watch.body_values import nodes_of

_PLAIN = {ir.AttributeType[kind] for kind in ("INT", "INTS", "FLOAT", "FLOATS", "STRING", "STRINGS")}
"""Attributes that are compared by their text; a node with others equals itself alone."""


class Survivors:
    """The values after optimisation that values before it survive as."""

    def __init__(self, raw: RawGraph, graph: ir.Graph) -> None:
        """Match the values before optimisation with those right after it; inputs and outputs may get other names later."""
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
        """Return the value of the final graph that a value from before survives as; None where it was removed."""
        if id(value) not in self._survivors:
            members = self._members.get(self._class_of.get(id(value)), ())
            found = (self._same(member) for member in members)
            # Values of a body exist only while it runs: a value outside does not survive as one of them.
            equal = (v for v in found if v is not None and id(v) not in self._in_body)
            self._survivors[id(value)] = self._same(value) or next(equal, None)
        return self._survivors[id(value)]

    def name_of(self, value: ir.Value) -> str:
        """Return the final name of a value's survivor; of a removed value its own name.

        That gets a suffix where an input or output was given the name.
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
        """Return the calls that the operations behind each node of the final graph ran in, by the node's first output.

        Several where the optimiser made one node of the operations of several calls; a node of which none is known is
        left out.
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
            key = output_of(node)
            if calls and key:
                if key in found:  # two bodies may use one name
                    ambiguous.add(key)
                found[key] = calls
        return {key: calls for key, calls in found.items() if key not in ambiguous}

    def _replaced_by(self, value: ir.Value) -> RawNode | None:
        """Return the removed node whose result a new value replaces: a surviving node read that as the same input."""
        for user, index in value.uses():
            before = self._raw_inputs.get(id(user))
            if before is None:  # the reader is new too: it replaces the node that had its output's name
                alike = self._raw_by_name.get(self._names.get(id(next(iter(user.outputs), None))))
                before = alike.inputs if alike is not None and alike.op_type == user.op_type else ()
            old = before[index] if index < len(before) else None
            if old is not None:
                return self.raw.producer.get(id(old))
        return None

    def _calls_behind(self, node: RawNode) -> list[int]:
        """Return the calls of a removed node and of the removed nodes that it was computed from, without survivors.

        Constants and sizes are not followed: calls share them.
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
        if all(attribute.type in _PLAIN and not attribute.is_ref() for attribute in node.attributes):
            attributes = tuple(sorted((a.name, str(a.value)) for a in node.attributes))
            key: Hashable = (node.domain, node.op_type, node.overload, attributes, inputs, len(node.outputs))
        else:
            key = id(node)
        for index, out in enumerate(node.outputs):
            self._join(out, (key, index))
