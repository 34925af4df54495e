"""The values of a graph that carry the ports of calls, found by their numbers, and the nodes between them.

An output is carried by an equal value: one that the call certainly computed, else one that an input carries already, else
one that the call may have made. No input is carried by what the call computed. From the outputs found, the graph is walked back to the values that are equal to inputs. Several values may be equal to one
input; what carries it is the outermost of them, which the call reads and has not copied itself. An input that the walk
does not reach is not needed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from hx_graph import CallTree, dims_of, is_size_query
from hx_projector._claims import Claim
from hx_projector._graph_index import GraphIndex, reachable
from hx_projector.witness.graph_run import GraphRun
from hx_sidecar_schema import ModuleCall, ModuleContext, Port, PortValue


class PortFinder:
    """Finds the values that carry the ports of calls, one call at a time."""

    def __init__(
        self,
        run: GraphRun,
        context: ModuleContext,
        tree: CallTree,
        certain: Mapping[str, int],
        observed: Iterable[PortValue],
    ) -> None:
        """Prepare to find what crossed the boundaries of calls in PyTorch, given the calls that certainly made some nodes."""
        self._run, self._index = run, run.index
        self._tree = tree
        self._owner = {**certain, **{key: tree.common(rows) for key, rows in context.origins.items() if rows}}
        self._tensors = {(port.call, port.side, port.port): port.value for port in observed}

    def with_carriers(self, row: int, call: ModuleCall) -> ModuleCall:
        """Return a call whose ports name the values that carry them; those that are not in the graph name none."""
        equal = {
            port.name: [n for n in self._equal_values(row, "inputs", port) if not self._is_computed_inside(row, n)]
            for port in call.inputs
        }
        given = {name for names in equal.values() for name in names}
        outputs: list[Port] = []
        for port in call.outputs:
            candidates = self._equal_values(row, "outputs", port)
            handed_on = [name for name in candidates if name in given]
            computed = [name for name in candidates if self._is_computed_inside(row, name)]
            # earlier ones may be equal by chance, as what is positive is to its ReLU
            names = computed[-1:] or handed_on or self._made_inside(row, candidates)
            outputs.append(self._carried_by(names, port))
        if any(port.value or port.initializer for port in outputs):
            # The graph computes the call, and nobody wanted the rest.
            outputs = [port.model_copy(update={"unused": True}) if port.is_lost else port for port in outputs]
        reached, reads_model_inputs = self._walk_back(outputs, given)
        inputs: list[Port] = []
        for port in call.inputs:
            names = self._outermost(row, equal[port.name], reached)
            if not equal[port.name] and not reads_model_inputs:
                inputs.append(port.model_copy(update={"unused": True}))  # nothing that was needed is missing
            else:
                inputs.append(port if len(names) > 1 else self._carried_by(names or equal[port.name], port))
        return call.model_copy(update={"inputs": inputs, "outputs": outputs})

    def _equal_values(self, row: int, side: Literal["inputs", "outputs"], port: Port) -> list[str]:
        """Return the values of the element type and numbers that a port had in PyTorch."""
        tensor = self._tensors.get((row, side, port.name))
        if tensor is None:
            return []
        found = self._run.equal_to(tensor)
        return [name for name in found if self._run.fingerprints[name].dtype == tensor.dtype]

    def _is_computed_inside(self, row: int, name: str) -> bool:
        """Say whether a call certainly computes a value; a constant may be made in its name for its argument."""
        return self._is_inside(row, name) and bool(self._index.operands_of(name))

    def _made_inside(self, row: int, candidates: Sequence[str]) -> Sequence[str]:
        """Return the candidates that are known to be made inside a call, else all where they are copies of one value."""
        possible = [name for name in candidates if self._is_inside(row, name, if_unknown=True)]
        copies = len(set(map(self._run.copied_from, possible))) == 1
        return [name for name in possible if self._is_inside(row, name)] or (possible if copies else [])

    def _walk_back(self, outputs: Iterable[Port], stops: set[str]) -> tuple[set[str], bool]:
        """Go back from outputs to stops. Return the stops reached, and whether data of a model input was reached."""

        def before(name: str) -> list[str]:
            maker = self._index.nodes.get(self._index.producer.get(name, ""))
            is_size = maker is not None and is_size_query(maker)
            return [] if name in stops or is_size else self._index.operands_of(name)

        seen = set(reachable((port.carrier for port in outputs if port.value or port.initializer), before))
        return seen & stops, not (seen - stops).isdisjoint(self._index.inputs)

    def _outermost(self, row: int, candidates: Sequence[str], reached: set[str]) -> list[str]:
        """Return the reached candidates from outside a call; one where the others are copies of it."""
        names = list(dict.fromkeys(self._before_copies(row, name) for name in candidates if name in reached))
        names = [name for name in names if not self._is_inside(row, name)] or names
        return names[:1] if len(set(map(self._run.copied_from, names))) == 1 else names

    def _before_copies(self, row: int, name: str) -> str:
        """Return the value that one is a copy of, going back as long as the call itself may have made the copy."""
        while name in self._run.copy_of and self._is_inside(row, name, if_unknown=True):
            name = self._run.copy_of[name]
        return name

    def _is_inside(self, row: int, name: str, *, if_unknown: bool = False) -> bool:
        owner = self._owner.get(self._index.producer.get(name, ""))
        return if_unknown if owner is None else self._tree.contains(row, owner)

    def _carried_by(self, names: Sequence[str], port: Port) -> Port:
        """Return a port carried by the first of some values and initializers; unchanged where there are none."""
        if not names:
            return port
        name = names[0]
        if name in self._index.initializers:
            return port.model_copy(update={"value": None, "initializer": name})
        shape = port.shape
        if not self._run.is_static:  # the shape in PyTorch has no symbols
            value = self._index.value(name)
            found = value.shape if value is not None else None
            shape = dims_of(found) if found is not None else ["?"] * len(port.shape)
        return port.model_copy(update={"value": name, "initializer": None, "shape": shape})


def claims_between_ports(
    index: GraphIndex, calls: Sequence[ModuleCall], tree: CallTree, ambiguous: Collection[str]
) -> dict[str, Claim]:
    """Return claims about the nodes between the ports of calls, by first outputs.

    What leads from a call's inputs to its outputs ran inside it. Only calls whose ports are all found count; where the
    nodes of one call are among those of another, the inner call has them, since calls stand after those that made them.

    A claim is of high confidence, but medium where

    * a call below has ports that were not found, and may have made the node;
    * the node is ambiguous: it may stand on either side of a boundary;
    * several calls have the node between their ports, none of which lies in another: the first that needed it has it.
    """
    located = [not any(port.is_lost for port in (*call.inputs, *call.outputs)) for call in calls]
    hidden_below = {call.parent for call, found in zip(calls, located, strict=True) if not found}
    claims: dict[str, Claim] = {}
    for row, call in enumerate(calls):
        starts = {port.carrier for port in call.inputs if not port.unused}
        if not located[row] or not starts:
            continue
        leading = index.backward_slice(starts, [port.carrier for port in call.outputs if port.value], ())
        for key in index.forward_slice(leading, starts, through_sizes=True):
            before = claims.get(key)
            if before is not None and not tree.contains(before.owner, row):
                claims[key] = Claim(before.owner, "medium")
            else:
                doubt = key in ambiguous or row in hidden_below
                claims[key] = Claim(row, "medium" if doubt else "high")
    return claims
