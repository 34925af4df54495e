"""What lies between the inputs and outputs of a call: the one rule behind its status and behind the cut.

A walk goes from the outputs back to the inputs and takes whatever lies between, whoever owns it: a mask that the exporter
shares between layers is copied in. A value that derives only from the inputs, constants and sizes is closed. Where the
walk leaves the call's own nodes for a value that is not closed, the module reached a tensor that is no argument: an
implicit input. A size that the graph reads from a tensor outside the call is read from the call's own inputs instead,
where they have it: equal symbols are equal sizes, the exporter proved it when it named them.

`hx_projector.attribution.status` decides by it whether a call is extractable, `hx_extractor.cut.cut` builds what it found.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import onnx_ir as ir

from hx_graph._dims import UNKNOWN_DIMS, queried_dims
from hx_graph._nested import body_inputs, nodes_in, values_by_name
from hx_graph._reads import reads
from hx_sidecar_schema import Port

Size = int | tuple[str, int]
"""A dimension: a number, or the value and the axis to read it from."""
Recovered = Mapping[str, Sequence[str]]
"""Values that nodes from before the exporter's optimisation make in place of the graph's own, with what they read."""


@dataclass
class Cut:
    """What a walk found."""

    reached: set[str] = field(default_factory=set)
    """Inputs that the outputs depend on, by the values that carry them."""
    implicit: list[str] = field(default_factory=list)
    """Further values that they depend on, sorted."""
    sizes: dict[str, list[Size]] = field(default_factory=dict)
    """Values that hold sizes of tensors outside the call, with where to read these among the inputs."""


class SizeQuery(NamedTuple):
    """Which sizes a value holds."""

    dims: Sequence[int | str]
    """As `dims_of` returns them."""
    source: str | None
    """The tensor whose sizes they are; None for a scalar that the exporter made for a size."""


class CutGraph:
    """A main graph and its bodies, by the names of values.

    Args:
        graph: The main graph; not changed.
        owners: Rows of calls, by the path of a node's graph and its first output.
        sizes: Scalars that the exporter made for sizes, with the symbol or expression.
        weights: Inputs of the graph that are weights without a value.
    """

    def __init__(
        self,
        graph: ir.Graph,
        owners: Mapping[tuple[str, str], int],
        sizes: Mapping[str, str],
        weights: Collection[str] = (),
    ) -> None:
        self.values = values_by_name(graph)
        self.reads: dict[str, Sequence[str]] = {}
        """What the node behind a value reads; nothing for inputs and initializers."""
        self.owners: dict[str, int] = {}
        """The call that owns the node behind a value, where one does."""
        self.queries: dict[str, SizeQuery] = {}
        self.inputs = {
            value.name
            for value in (*graph.inputs, *body_inputs(graph))
            if not value.is_initializer() and value.name not in weights
        }
        """Values that come from outside: inputs of the model, and of the bodies of loops."""
        for path, node in nodes_in(graph):
            made = [name for out in node.outputs if (name := out.name)]
            if not made or (path and self.values.get(made[0]) not in node.outputs):
                continue  # a name that two bodies use
            names, owner = reads(node), owners.get((path, made[0]))
            dims = queried_dims(node) if node.op_type == "Shape" else None
            for name in made:
                self.reads[name] = names
                if owner is not None:
                    self.owners[name] = owner
                if dims:
                    self.queries[name] = SizeQuery(dims, names[0])
        self.queries |= {name: SizeQuery([symbol], None) for name, symbol in sizes.items()}

    def cut(
        self,
        row: int,
        end: int,
        inputs: Iterable[Port],
        outputs: Iterable[str],
        *,
        recovered: Recovered,
        complete: bool = False,
        also: Collection[str] = (),
    ) -> Cut:
        """Walk from the outputs of a call to its inputs.

        Args:
            row: Of the call.
            end: The row after its last descendant.
            inputs: Its input ports, as far as they are known.
            outputs: Values that carry its outputs.
            recovered: Nodes from before the exporter's optimisation.
            complete: Whether all inputs are among the ports, implicit ones too. Then what is outside the call and not
                closed is taken as well, and only inputs of the graph are implicit.
            also: Further values to stop at.
        """
        return _Walk(self, row, end, inputs, recovered, also).run(outputs, complete=complete)


class _Walk:
    def __init__(
        self, graph: CutGraph, row: int, end: int, inputs: Iterable[Port], recovered: Recovered, also: Collection[str]
    ) -> None:
        ports = sorted(inputs, key=lambda port: port.unused)
        # Sizes are read from arguments alone: the status is decided before implicit inputs are known, and the cut must agree.
        arguments = [port for port in ports if not port.implicit]
        self._graph, self._row, self._end, self._recovered = graph, row, end, recovered
        self._stops = {*(port.carrier for port in ports), *also}
        self._closed: dict[str, bool] = dict.fromkeys(self._stops, True)
        self._known = {*(port.carrier for port in arguments), *also, *recovered}
        self._places: dict[str, tuple[str, int]] = {}
        for port in arguments:
            for axis, dim in enumerate(port.shape):
                if isinstance(dim, str) and dim not in UNKNOWN_DIMS:
                    self._places.setdefault(dim, (port.carrier, axis))

    def run(self, outputs: Iterable[str], *, complete: bool) -> Cut:
        cut = Cut()
        seen: set[str] = set()
        pending = list(outputs)
        made = set(pending)  # by the call, even where the optimiser merged a neighbour's node into it
        # One step a value and a level of the tree: this loop is what attribution costs.
        stops, recovered, first, end, graph = self._stops, self._recovered, self._row, self._end, self._graph
        owners, reads, inputs, queries = graph.owners, graph.reads, graph.inputs, graph.queries
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in stops:
                cut.reached.add(name)
                continue
            if complete:
                outside = name in inputs
            else:
                inside = first <= owners.get(name, -1) < end or name in made or name in recovered
                outside = not inside and not self._is_closed(name)
            if outside:
                cut.implicit.append(name)
                continue
            if name in queries and (sizes := self._sizes(name)) is not None:
                cut.sizes[name] = sizes
                cut.reached.update(size[0] for size in sizes if not isinstance(size, int))
                continue
            pending.extend(recovered[name] if name in recovered else reads.get(name, ()))
        cut.implicit.sort()
        return cut

    def _sizes(self, name: str) -> list[Size] | None:
        """Return where to read the sizes that a value holds, if the tensor that the graph reads them from lies outside.

        The root's inputs are the graph's: nothing lies outside.
        """
        if self._row == 0:
            return None
        dims, source = self._graph.queries[name]
        if source is not None:
            inside = self._row <= self._graph.owners.get(source, -1) < self._end
            if inside or name in self._recovered or source in self._known:
                return None
        if any(isinstance(dim, str) and dim not in self._places for dim in dims):
            return None
        return [dim if isinstance(dim, int) else self._places[dim] for dim in dims]

    def _is_closed(self, name: str) -> bool:
        """Say whether a value derives from the inputs, constants and sizes alone. Explores without recursion."""
        closed, queries, graph = self._closed, self._graph.queries, self._graph
        pending = [name]
        while pending:
            current = pending[-1]
            if current in closed:
                pending.pop()
                continue
            names = self._recovered.get(current, graph.reads.get(current))
            if names is None:
                closed[current] = current not in graph.inputs
            elif current in queries and self._sizes(current) is not None:
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
