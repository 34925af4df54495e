"""The values of a graph that carry the ports of calls, found by their numbers.

An output is carried by an equal value: one that an input carries already, else one that the call itself made. From the
outputs found, the graph is walked back to the values that are equal to inputs. Several values may be equal to one
input; what carries it is the outermost of them, which the call reads and has not copied itself. An input that the walk
does not reach is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from hx_graph import CallTree, dims_of
from hx_projector.witness.graph import WitnessedGraph
from hx_sidecar_schema import ModuleCall, ModuleContext, Port, PortValue

Side = Literal["inputs", "outputs"]


class PortFinder:
    """Finds the values that carry the ports of calls, one call at a time."""

    def __init__(
        self,
        graph: WitnessedGraph,
        context: ModuleContext,
        tree: CallTree,
        certain: Mapping[str, int],
        observed: Iterable[PortValue],
    ) -> None:
        """Prepare the look-ups.

        Args:
            graph: The graph with its values.
            context: With what the exporter recorded of nodes.
            tree: The calls.
            certain: Nodes, by first outputs, with the calls that made them, as far as that is certain.
            observed: What crossed the boundaries of calls in PyTorch.
        """
        self._graph = graph
        self._tree = tree
        self._owner = dict(certain)
        self._owner.update((key, tree.common(rows)) for key, rows in context.origins.items() if rows)
        self._tensors = {(port.call, port.side, port.port): port.value for port in observed}

    def with_carriers(self, row: int, call: ModuleCall) -> ModuleCall:
        """Return a call whose ports name the values that carry them; those that are not in the graph name none."""
        equal = {port.name: self._equal_values(row, "inputs", port) for port in call.inputs}
        given = {name for names in equal.values() for name in names}
        outputs: list[Port] = []
        for port in call.outputs:
            candidates = self._equal_values(row, "outputs", port)
            handed_on = [name for name in candidates if name in given]
            chosen = (handed_on or self._made_inside(row, candidates) or [None])[0]
            outputs.append(self._carried_by(chosen, port))
        if any(port.value or port.initializer for port in outputs):
            # The graph computes the call, and nobody wanted the rest.
            lost = [port.name for port in outputs if not (port.value or port.initializer)]
            outputs = [p.model_copy(update={"unused": True}) if p.name in lost else p for p in outputs]
        reached, reads_model_inputs = self._walk_back(outputs, given)
        inputs: list[Port] = []
        for port in call.inputs:
            names = self._outermost(row, equal[port.name], reached)
            if not equal[port.name] and not reads_model_inputs:
                inputs.append(port.model_copy(update={"unused": True}))  # nothing that was needed is missing
            elif len(names) > 1:
                inputs.append(port)
            else:
                inputs.append(self._carried_by(next(iter(names or equal[port.name]), None), port))
        return call.model_copy(update={"inputs": inputs, "outputs": outputs})

    def _equal_values(self, row: int, side: Side, port: Port) -> list[str]:
        """Return the values of the element type and numbers that a port had in PyTorch."""
        tensor = self._tensors.get((row, side, port.name))
        if tensor is None:
            return []
        run = self._graph.run
        return [name for name in run.equal_to(tensor) if run.fingerprints[name].dtype == tensor.dtype]

    def _made_inside(self, row: int, candidates: Sequence[str]) -> Sequence[str]:
        """Return the candidates that are known to be made inside a call, else all where they are copies of one value."""
        known = [name for name in candidates if self._is_inside(row, name)]
        if known:
            return known
        possible = [name for name in candidates if self._is_inside(row, name, if_unknown=True)]
        return possible if len(set(map(self._graph.copied_from, possible))) == 1 else []

    def _walk_back(self, outputs: Iterable[Port], stops: set[str]) -> tuple[set[str], bool]:
        """Go back from outputs to stops. Return the stops reached, and whether data of a model input was reached."""
        reached: set[str] = set()
        seen: set[str] = set()
        reads_model_inputs = False
        pending = [port.carrier for port in outputs if port.value or port.initializer]
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in stops:
                reached.add(name)
            elif name in self._graph.index.inputs:
                reads_model_inputs = True
            elif name not in self._graph.sizes:
                pending.extend(self._graph.index.operands_of(name))
        return reached, reads_model_inputs

    def _outermost(self, row: int, candidates: Sequence[str], reached: set[str]) -> list[str]:
        """Return the reached candidates from outside a call; one where the others are copies of it."""
        names = list(dict.fromkeys(self._before_copies(row, name) for name in candidates if name in reached))
        names = [name for name in names if not self._is_inside(row, name)] or names
        return names[:1] if len(set(map(self._graph.copied_from, names))) == 1 else names

    def _before_copies(self, row: int, name: str) -> str:
        """Return the value that one is a copy of, going back as long as the call itself may have made the copy."""
        while name in self._graph.copy_of and self._is_inside(row, name, if_unknown=True):
            name = self._graph.copy_of[name]
        return name

    def _is_inside(self, row: int, name: str, *, if_unknown: bool = False) -> bool:
        owner = self._owner.get(self._graph.index.producer.get(name, ""))
        return if_unknown if owner is None else self._tree.contains(row, owner)

    def _carried_by(self, name: str | None, port: Port) -> Port:
        """Return a port carried by a value or initializer; unchanged where `name` is None."""
        if name is None:
            return port
        is_initializer = name in self._graph.index.initializers
        return port.model_copy(
            update={
                "value": None if is_initializer else name,
                "initializer": name if is_initializer else None,
                "shape": self._shape(name, port),
            }
        )

    def _shape(self, name: str, port: Port) -> list[int | str]:
        """Return the shape of a port, with symbols where the model has dynamic dimensions."""
        value = self._graph.index.value(name)
        if self._graph.is_static or name in self._graph.index.initializers:
            return port.shape
        if value is None or value.shape is None:
            return ["?"] * len(port.shape)
        return dims_of(value.shape)
