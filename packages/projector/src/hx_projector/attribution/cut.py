"""What a call needs from outside: the backward cut from its outputs to its inputs.

The cut keeps whatever lies between, whoever owns it: a mask that the exporter shares between layers is copied in. A value
that derives only from the inputs, constants and sizes is closed. Where the cut leaves the call's own nodes for a
value that is not closed, the module reached a tensor that is no argument: an implicit input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from hx_graph import CallTree, body_inputs, reads, values_by_name
from hx_projector.attribution.owners import OwnedNode
from hx_sidecar_schema import ModuleCall, ModuleContext, Port


@dataclass
class Cut:
    """Result of cutting one call out."""

    reached: set[str] = field(default_factory=set)
    """Input values that the outputs depend on."""
    implicit: list[str] = field(default_factory=list)
    """Further values that they depend on."""


class Cutter:
    """Cuts calls out of the main graph and its bodies, by value names.

    Args:
        model: The exported model.
        owned: Its nodes with owners.
        tree: The calls.
        context: Recovered nodes, which calls may need in place of the graph's own, and sizes.
    """

    def __init__(
        self, model: ir.Model, owned: Iterable[OwnedNode], tree: CallTree, context: ModuleContext
    ) -> None:
        self._tree = tree
        self._recovered = context.recovered
        self._scalars = context.sizes
        self.reads: dict[str, Sequence[str]] = {}
        """What the node behind a value reads; nothing for graph inputs and initializers."""
        self.owners: dict[str, int] = {}
        """The call that owns the node behind a value."""
        self._sizes: dict[str, ir.Node] = {}
        self.values = values_by_name(model.graph)
        given = [value for value in model.graph.inputs if not value.is_initializer()]
        self._graph_inputs = {value.name for value in (*given, *body_inputs(model.graph))}
        for row in owned:
            if self.values.get(row.output) not in row.node.outputs:
                continue  # in a function, or a name that two bodies use
            names = reads(row.node)
            for out in row.node.outputs:
                if out.name:
                    self.reads[out.name] = names
                    self.owners[out.name] = row.owner
                    if row.node.op_type == "Shape" and row.node.domain == "":
                        self._sizes[out.name] = row.node
        self.has_sizes = bool(self._sizes or self._scalars)

    def cut(self, row: int, call: ModuleCall) -> Cut:
        """Cut one call out; its outputs must be in the graph or recovered."""
        own = {
            name: [read for read in self._recovered[number].inputs if read]
            for number in call.recovered
            for name in self._recovered[number].outputs
        }
        walk = _Walk(self, row, self._tree.end[row], own, call.inputs)
        return walk.run(port.carrier for port in call.outputs if not port.unused)

    def is_graph_input(self, name: str) -> bool:
        """Say whether a value comes from outside: an input of the model, or of a loop's body."""
        return name in self._graph_inputs

    def is_size_scalar(self, name: str) -> bool:
        """Say whether a value is a scalar that the exporter made for a size."""
        return name in self._scalars

    def symbols(self, name: str) -> list[str] | None:
        """Return the symbolic dimensions that a Shape node's result or a size scalar holds; None for others."""
        if name in self._scalars:
            return [self._scalars[name]]
        node = self._sizes.get(name)
        source = node.inputs[0] if node is not None else None
        if node is None or source is None or source.shape is None:
            return None
        start, end = node.attributes.get("start"), node.attributes.get("end")
        dims = list(source.shape)[start.as_int() if start else None : end.as_int() if end else None]
        return [str(dim.value) for dim in dims if not isinstance(dim, int)]


class _Walk:
    def __init__(
        self, cutter: Cutter, row: int, end: int, own: Mapping[str, list[str]], ports: Sequence[Port]
    ) -> None:
        self._cutter = cutter
        self._row = row
        self._own = own
        self._end = end
        self._stops = {port.carrier for port in ports}
        self._closed: dict[str, bool] = dict.fromkeys(self._stops, True)
        self._symbols: dict[str, str] = {}
        for port in sorted(ports, key=lambda port: port.unused):
            for dim in port.shape:
                if isinstance(dim, str) and dim != "?":
                    self._symbols.setdefault(dim, port.carrier)

    def run(self, outputs: Iterable[str]) -> Cut:
        cut = Cut()
        seen: set[str] = set()
        pending = list(outputs)
        made = set(pending)  # by the call, even where the optimiser merged a neighbour's node into it
        # One step a value and a level of the tree: this loop is what attribution costs.
        stops, own, cutter = self._stops, self._own, self._cutter
        owners, reads, first, end = cutter.owners, cutter.reads, self._row, self._end
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in stops:
                cut.reached.add(name)
                continue
            inside = first <= owners.get(name, -1) < end or name in made or name in own
            if not inside and not self._is_closed(name):
                cut.implicit.append(name)
                continue
            if cutter.has_sizes:
                holders = self._size_holders(name)
                if holders is not None:
                    cut.reached |= holders
                    continue
            pending.extend(own.get(name) or reads.get(name) or ())
        cut.implicit.sort()
        return cut

    def _reads(self, name: str) -> Sequence[str] | None:
        return self._own.get(name) or self._cutter.reads.get(name)

    def _size_holders(self, name: str) -> set[str] | None:
        """Inputs to read a size from, where the tensor that the graph reads it from lies outside.

        The root's inputs are the graph's: nothing lies outside.
        """
        if self._row == 0 or (name in self._own and not self._cutter.is_size_scalar(name)):
            return None
        symbols = self._cutter.symbols(name)
        if symbols is None or any(symbol not in self._symbols for symbol in symbols):
            return None
        if self._cutter.is_size_scalar(name):
            return {self._symbols[symbol] for symbol in symbols}
        source = (self._cutter.reads.get(name) or [""])[0]
        inside = self._row <= self._cutter.owners.get(source, -1) < self._end
        if inside or source in self._stops or source in self._own:
            return None
        return {self._symbols[symbol] for symbol in symbols}

    def _is_closed(self, name: str) -> bool:
        """Say whether a value derives from the inputs, constants and sizes alone. Explores without recursion."""
        closed = self._closed
        pending = [name]
        while pending:
            current = pending[-1]
            if current in closed:
                pending.pop()
                continue
            names = self._reads(current)
            if names is None:
                closed[current] = not self._cutter.is_graph_input(current)
            elif self._size_holders(current) is not None:
                closed[current] = True
            else:
                unknown = next((other for other in names if not closed.get(other, False)), None)
                if unknown is None:
                    closed[current] = True
                elif unknown in closed:
                    closed[current] = False
                else:
                    pending.append(unknown)
        return closed[name]
