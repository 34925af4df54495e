"""The values of a graph that carry the ports of calls, found by what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hx_graph.call_tree import CallTree
from hx_projector.witness.graph import WitnessedGraph
from hx_sidecar_schema import ModuleCall, ModuleContext, Port


class PortFinder:
    """Finds the values that carry the ports of calls.

    Args:
        graph: The graph.
        context: With the observation.
        tree: The calls.
        tied: Nodes with the calls that made them, as far as that is certain.
    """

    def __init__(
        self,
        graph: WitnessedGraph,
        context: ModuleContext,
        tree: CallTree,
        tied: Mapping[str, int],
    ) -> None:
        self._graph = graph
        self._tree = tree
        rows = {key: rows for key, rows in context.origins.items() if rows}
        self._owner = dict(tied)
        self._owner.update((key, tree.common(found)) for key, found in rows.items())
        assert context.observation is not None
        self._seen = {(port.call, port.side, port.port): port.value for port in context.observation.ports}

    def located(self, row: int, call: ModuleCall) -> ModuleCall:
        """Return a call with the values of its ports, as far as they are in the graph."""
        given = {port.name: self._candidates(row, "inputs", port) for port in call.inputs}
        outputs: list[Port] = []
        for port in call.outputs:
            candidates = self._candidates(row, "outputs", port)
            handed_on = [name for name in candidates if any(name in names for names in given.values())]
            chosen = (handed_on or self._made_inside(row, port, candidates) or [None])[0]
            outputs.append(self._carried(row, "outputs", port, chosen))
        if any(port.value or port.initializer for port in outputs):
            # The graph computes the call, and nobody wanted the rest.
            lost = [port.name for port in outputs if not (port.value or port.initializer)]
            outputs = [p.model_copy(update={"unused": True}) if p.name in lost else p for p in outputs]
        reached, leaks = self._walk(outputs, {name for names in given.values() for name in names})
        inputs: list[Port] = []
        for port in call.inputs:
            names = self._outermost(row, given[port.name], reached)
            if not given[port.name] and not leaks:
                inputs.append(port.model_copy(update={"unused": True}))  # nothing that was needed is missing
            elif len(names) > 1:
                inputs.append(port)
            else:
                chosen = next(iter(names or given[port.name]), None)
                inputs.append(self._carried(row, "inputs", port, chosen))
        return call.model_copy(update={"inputs": inputs, "outputs": outputs})

    def _candidates(self, row: int, side: str, port: Port) -> list[str]:
        seen = self._seen.get((row, side, port.name))  # pyright: ignore[reportArgumentType]
        if seen is None:
            return []
        found = self._graph.values.equal(seen)
        return [name for name in found if self._graph.values.fingerprints[name].dtype == seen.dtype]

    def _made_inside(self, row: int, port: Port, candidates: Sequence[str]) -> Sequence[str]:
        """Return the candidates that the call may have made: known ones, else all where they are one value."""
        known = [name for name in candidates if self._is_inside(row, name)]
        if known:
            return known
        unknown = [name for name in candidates if self._is_inside(row, name, unknown=True)]
        one = len({self._graph.origin(name) for name in unknown}) == 1
        return unknown if one else []

    def _walk(self, outputs: Iterable[Port], stops: set[str]) -> tuple[set[str], bool]:
        """Go back from outputs. Return the stops reached, and whether an input of the model was reached as data."""
        reached: set[str] = set()
        seen: set[str] = set()
        leaks = False
        pending = [port.carrier for port in outputs if port.value or port.initializer]
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in stops:
                reached.add(name)
            elif name in self._graph.inputs:
                leaks = True
            elif name not in self._graph.sizes:
                pending.extend(self._graph.reads.get(name, ()))
        return reached, leaks

    def _outermost(self, row: int, candidates: Sequence[str], reached: set[str]) -> list[str]:
        """Return the reached candidates that carry the port: one where the others repeat it inside."""
        names = list(dict.fromkeys(self._before(row, name) for name in candidates if name in reached))
        names = [name for name in names if not self._is_inside(row, name)] or names
        origins = {self._graph.origin(name) for name in names}
        return names[:1] if len(origins) == 1 else names

    def _before(self, row: int, name: str) -> str:
        """Return the value that one repeats, as long as the call itself may have repeated it."""
        while name in self._graph.same_as and self._is_inside(row, name, unknown=True):
            name = self._graph.same_as[name]
        return name

    def _is_inside(self, row: int, name: str, *, unknown: bool = False) -> bool:
        owner = self._owner.get(self._graph.key.get(name, ""))
        return unknown if owner is None else self._tree.contains(row, owner)

    def _carried(self, row: int, side: str, port: Port, name: str | None) -> Port:
        if name is None:
            return port
        constant = name in self._graph.initializers
        return port.model_copy(
            update={
                "value": None if constant else name,
                "initializer": name if constant else None,
                "shape": self._shape(name, port),
            }
        )

    def _shape(self, name: str, port: Port) -> list[int | str]:
        shape = self._graph.shapes.get(name)
        if self._graph.is_static or name in self._graph.initializers:
            return port.shape
        if shape is None:
            return ["?"] * len(port.shape)
        return [dim if isinstance(dim, int) else str(dim.value or "?") for dim in shape]
