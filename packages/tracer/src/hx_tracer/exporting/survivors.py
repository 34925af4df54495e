"""What the exporter's optimisation made of each value.

Ports and calls are known on the graph before optimisation; this carries them to the graph after it, by the values that
survive. A value survives as itself (the same object); under its name (a rewrite gives its result the name of what it
replaces); or as an equal value: an Identity of it, the same operation on the same inputs, which elimination of common
subexpressions merged. Equal values are found by value numbering. Seen on torch 2.13 with onnxscript 0.7 and onnx-ir 1.1.

Where its readers were given another value instead, as `x` for `x / 1`, nothing of it is in what they became. As a port it is
not that value, which is another call's: two reshapes may have become none.
"""

import re
from collections.abc import Generator, Hashable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from typing import Any

import onnx_ir as ir
import torch

from hx_graph import dims_of, output_of, values_in
from hx_tracer.exporting.raw_graph import RawGraph, RawNode
from hx_tracer.watch.body_values import nodes_of
from hx_tracer.watch.patches import patched

_PLAIN = {ir.AttributeType[kind] for kind in ("INT", "INTS", "FLOAT", "FLOATS", "STRING", "STRINGS")}
"""Attributes that are compared by their text; a node with others equals itself alone."""


class Replacements:
    """What took the place of values while `watching` was on."""

    def __init__(self) -> None:
        """Know of none."""
        self._found: dict[int, tuple[ir.Value, ir.Value]] = {}

    @contextmanager
    def watching(self) -> Generator[None]:
        """Note replacements in this thread: onnx-ir's passes and onnxscript's rewriting make them by this method.

        Rules without an effect put an Identity there, which constant folding takes away without it.
        """

        def replace(original: Any, old: ir.Value, new: ir.Value, *args: Any, **kwargs: Any) -> None:
            original(old, new, *args, **kwargs)
            self._found[id(old)] = old, new
            maker = new.producer()
            if maker is not None and (maker.domain, maker.op_type) == ("", "Identity"):
                source = maker.inputs[0]
                assert source is not None
                self._found[id(new)] = new, source

        with patched(ir.Value, "replace_all_uses_with", replace):
            yield

    def pairs(self) -> Iterator[tuple[ir.Value, ir.Value]]:
        """Yield each value with what took its place."""
        yield from self._found.values()

    def of(self, value: ir.Value) -> Iterator[ir.Value]:
        """Yield a value, and what took its place, and the place of that."""
        seen: set[int] = set()
        while id(value) not in seen:
            seen.add(id(value))
            yield value
            _, value = self._found.get(id(value), (value, value))


class Survivors:
    """The values after optimisation that values before it survive as."""

    def __init__(self, raw: RawGraph, graph: ir.Graph, replacements: Replacements) -> None:
        """Match the values before optimisation with those right after it; inputs and outputs may get other names later."""
        self.raw = raw
        self.replacements = replacements
        self._graph = graph
        self._raw_by_node = {id(node.node): node for node in raw.nodes}
        self._raw_by_name = {out.name: node for node in raw.nodes for out in node.outputs}
        self._by_name = {value.name: value for value in values_in(graph)}
        self._names = {id(value): value.name for value in values_in(graph)}
        """Of the values of the graph, right after optimisation."""
        self._handed_out: dict[int, ir.Value] = {}
        """What stands in the place of an output: its own value may be a copy, or have given its name to what it was made of."""
        for value, now in zip(raw.outputs, graph.outputs, strict=True):
            if id(value) in raw.producer:
                self._handed_out.setdefault(id(value), now)
        self._survivors: dict[int, ir.Value | None] = {}
        # Value numbering: values of one class are equal.
        self._numbers: dict[Hashable, int] = {}
        self._class_of: dict[int, int | None] = {}
        self._members: dict[int | None, list[ir.Value]] = {}
        self._copied: dict[int, ir.Value] = {}
        """What an Identity copied, by the id of the copy."""
        for value in (*raw.inputs, *raw.initializers):
            self._join(value, id(value))
        for node in raw.nodes:
            self._number(node)

    def survivor(self, value: ir.Value) -> ir.Value | None:
        """Return the value of the final graph that a value from before survives as; None where it was removed."""
        if id(value) not in self._survivors:
            # What it is a copy of comes first: equal values may all be left, and each be read by others.
            members = chain(self._with_sources(value), self._members.get(self._class_of.get(id(value)), ()))
            # Values of a body exist only while it runs: a value outside does not survive as one of them.
            equal = (v for v in map(self._same, members) if v is not None and v.graph is self._graph)
            self._survivors[id(value)] = self._same(value) or next(equal, None)
        return self._survivors[id(value)]

    @cached_property
    def _symbols(self) -> dict[str, str]:
        """The names that the graph's inputs have, when all is done, for the symbols of the trace: `batch` for `s77`."""
        names: dict[str, str] = {}
        for value in self._graph.inputs:
            for old, new in zip(self.raw.input_dims.get(id(value), ()), value.shape or (), strict=False):
                if not isinstance(old, int) and not isinstance(new, int):
                    names.setdefault(str(old.value), str(new.value))
        return names

    def renamed(self, size: int | torch.SymInt | str) -> int | str:
        """Return a size of the trace with the final names of the symbols in it."""
        symbols = self._symbols
        return size if isinstance(size, int) else re.sub(r"[A-Za-z_]\w*", lambda m: symbols.get(m[0], m[0]), str(size))

    def dims_of(self, value: ir.Value) -> list[int | str]:
        """Return the dimensions of a value, renamed; none where the rank is unknown."""
        return [self.renamed(dim) for dim in dims_of(value.shape)]

    def name_of(self, value: ir.Value) -> str:
        """Return the final name of a value's survivor; of a removed value its own, with a suffix where a border has it."""
        survivor = self.survivor(value)
        if survivor is not None:
            return str(survivor.name)
        taken = {border.name for border in (*self._graph.inputs, *self._graph.outputs)}
        return f"{value.name}.removed" if value.name in taken else str(value.name)

    def _same(self, value: ir.Value) -> ir.Value | None:
        own = value if id(value) in self._names else self._by_name.get(value.name)
        found = self._handed_out.get(id(value), own)
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
            same = self._raw_by_node.get(id(node))
            calls = [] if same is None or same.call is None else [same.call]
            if not calls and (raw := next(filter(None, map(self._raw_behind, node.outputs)), None)):
                calls = self._calls_behind(raw)
            if not calls and (call := self.raw.call_of(node)) is not None:
                calls = [call]
            key = output_of(node)
            if calls and key:
                if key in found:  # two bodies may use one name
                    ambiguous.add(key)
                found[key] = calls
        return {key: calls for key, calls in found.items() if key not in ambiguous}

    def _raw_behind(self, value: ir.Value) -> RawNode | None:
        """Return the node that made a value, had its name, or made what a surviving node read as the same input."""
        known = self.raw.producer.get(id(value)) or self._raw_by_name.get(self._names.get(id(value)))
        for user, index in value.uses() if known is None else ():
            before = self._raw_by_node.get(id(user))
            if before is None:  # the reader is new too: it replaces the node that had its output's name
                alike = self._raw_by_name.get(self._names.get(id(next(iter(user.outputs), None))))
                before = alike if alike is not None and alike.op_type == user.op_type else None
            old = before.inputs[index] if before is not None and index < len(before.inputs) else None
            if old is not None:
                return self.raw.producer.get(id(old))
        return known

    def _calls_behind(self, node: RawNode) -> list[int]:
        """Return the calls of a removed node and of the removed nodes that it was computed from, without survivors or replacements.

        Constants and sizes are not followed: calls share them.
        """
        calls: set[int] = set()
        pending, seen = [node], {id(node)}
        while pending:
            current = pending.pop()
            if current.call is not None:
                calls.add(current.call)
            for value in current.inputs:
                if value is not None and id(value) in self.raw.data and not self._is_left(value):
                    source = self.raw.producer.get(id(value))
                    if source is not None and id(source) not in seen:
                        seen.add(id(source))
                        pending.append(source)
        return sorted(calls)

    def _is_left(self, value: ir.Value) -> bool:
        """Say whether a value survives, or what took its place does, or the place of what it is a copy of."""
        steps = (step for source in self._with_sources(value) for step in self.replacements.of(source))
        return self.survivor(value) is not None or any(map(self._same, steps))

    def _with_sources(self, value: ir.Value | None) -> Iterator[ir.Value]:
        """Yield a value, and what it is a copy of, and what that is a copy of."""
        while value is not None:
            yield value
            value = self._copied.get(id(value))

    def _join(self, value: ir.Value, key: Hashable) -> None:
        number = self._numbers.setdefault(key, len(self._numbers))
        self._class_of[id(value)] = number
        self._members.setdefault(number, []).append(value)

    def _number(self, node: RawNode) -> None:
        inputs = tuple(None if v is None else self._class_of.get(id(v), -id(v)) for v in node.inputs)
        if node.domain == "" and node.op_type == "Identity":
            copy, source = node.outputs[0], node.inputs[0]
            assert source is not None
            self._copied[id(copy)] = source
            self._class_of[id(copy)] = inputs[0]
            self._members.setdefault(inputs[0], []).append(copy)
            return
        if all(attribute.type in _PLAIN and not attribute.is_ref() for attribute in node.attributes):
            attributes = tuple(sorted((a.name, str(a.value)) for a in node.attributes))
            key: Hashable = (node.domain, node.op_type, node.overload, attributes, inputs, len(node.outputs))
        else:
            key = id(node)
        for index, out in enumerate(node.outputs):
            self._join(out, (key, index))
