"""Sizes that the graph reads from tensors outside the call, read from the call's own inputs instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from hx_extractor.cut.builder import Rebuild
from hx_extractor.cut.index import Parent
from hx_extractor.cut.source import Source
from hx_graph import queried_dims
from hx_sidecar_schema import Port


class SizeReader:
    """Replaces `Shape` of an outer tensor by the same sizes of the call's inputs.

    Equal symbols are equal sizes: the exporter proved it when it named them.

    Args:
        parent: The exported model.
        rebuild: The cut; its inputs are made.
        row: The call.
        inputs: Its used ports.
        overrides: Recovered nodes of the call.
    """

    def __init__(
        self,
        parent: Parent,
        rebuild: Rebuild,
        row: int,
        inputs: Sequence[Port],
        overrides: Mapping[str, Source],
    ) -> None:
        self._parent = parent
        self._rebuild = rebuild
        self._row = row
        self._end = parent.sidecar.subtree_end[row]
        self._overrides = overrides
        self._stops = {port.carrier for port in inputs}
        self._places: dict[str, tuple[str, int]] = {}
        for port in inputs:
            for axis, dim in enumerate(port.shape):
                if isinstance(dim, str) and dim != "?":
                    self._places.setdefault(dim, (port.carrier, axis))
        # The root's inputs are the graph's: nothing lies outside.
        self._scalars: dict[str | None, str] = {**parent.sidecar.sizes} if row else {}
        self._seen: set[str] = set()

    def prepare(self, output: str) -> None:
        """Find the sizes that an output needs from outside and put in their replacements."""
        pending = [output]
        while pending:
            name = pending.pop()
            if name in self._seen or name in self._stops:
                continue
            self._seen.add(name)
            source = self._overrides.get(name) or self._parent.source(name)
            if source is None:
                continue
            expression = self._scalars.get(name)
            if expression in self._places:
                self._rebuild.substitute(name, self._scalar(name, expression))
            elif name in self._overrides:
                pending.extend(source.reads)
            elif self._is_outer_size(source):
                self._rebuild.substitute(name, self._read(source.node))
            else:
                pending.extend(source.reads)

    def _is_outer_size(self, source: Source) -> bool:
        dims = queried_dims(source.node)
        if self._row == 0 or dims is None:
            return False
        tensor = source.reads[0]
        if tensor in self._stops or tensor in self._overrides:
            return False
        owner = self._parent.owner_of(tensor)
        if owner is not None and self._row <= owner < self._end:
            return False
        return all(isinstance(dim, int) or dim in self._places for dim in dims)

    def _read(self, node: ir.Node) -> ir.Value:
        parts: list[ir.Value] = []
        for dim in queried_dims(node) or ():
            if isinstance(dim, int):
                constant = ir.Tensor(np.array([dim], dtype=np.int64))
                part = ir.node("Constant", [], {"value": constant})
            else:
                part = self._dimension(dim)
            parts.append(self._add(part, node.outputs[0].name, len(parts), (1,)))
        if len(parts) == 1:
            return parts[0]
        joined = ir.node("Concat", parts, {"axis": 0})
        return self._add(joined, node.outputs[0].name, len(parts), (len(parts),))

    def _scalar(self, name: str, expression: str) -> ir.Value:
        dimension = self._add(self._dimension(expression), name, 0, (1,))
        return self._add(ir.node("Squeeze", [dimension]), name, 1, ())

    def _dimension(self, symbol: str) -> ir.Node:
        carrier, axis = self._places[symbol]
        self._rebuild.build(carrier)
        return ir.node("Shape", [self._rebuild.value(carrier)], {"start": axis, "end": axis + 1})

    def _add(self, new: ir.Node, name: str | None, index: int, shape: tuple[int, ...]) -> ir.Value:
        value = self._rebuild.append(new, f"{name}.size{index}")
        value.type, value.shape = ir.TensorType(ir.DataType.INT64), ir.Shape(shape)
        return value
