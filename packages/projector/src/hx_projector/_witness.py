"""Values as witnesses: the same tensor in a PyTorch run and in a run of the graph.

A node whose result one operation of one call computed, and no other, was made by that call. Ports are found the same
way, and what lies strictly between the input ports and the output ports of a call ran inside it, whatever became of
it. Names say nothing here: a graph that was renamed or optimised is read like any other.

Tensors of one single number, masks of ones, and values that several calls computed alike decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx_ir as ir

from hx_projector._graphs import output_of, reads
from hx_projector._sources import Claim
from hx_projector._tree import CallTree
from hx_projector._values import Array, Values
from hx_sidecar_schema import Confidence, ModuleCall, ModuleContext, Observation, Port


def witness(
    model: ir.Model, context: ModuleContext, feeds: Mapping[str, Array]
) -> tuple[ModuleContext, dict[str, Claim]]:
    """Tie a graph to a run of its module.

    Args:
        model: An ONNX model of the module; not changed.
        context: With the observation of a run, on the same inputs. Where it places ports already, they are kept.
        feeds: The inputs, by their names in the graph.

    Returns:
        The context with the ports that were found, and claims by the nodes' outputs.

    Raises:
        HxError: HX121 if ONNX Runtime cannot run the model.
    """
    assert context.observation is not None
    tree = CallTree(context.calls)
    values = Values(model, feeds)
    seen = _Graph(model, values)
    tied = _ties(seen, context.observation)
    calls = context.calls
    if not any(port.value for call in calls for port in (*call.inputs, *call.outputs)):
        finder = _PortFinder(seen, context, tree, tied)
        calls = [finder.located(row, call) for row, call in enumerate(calls)]
    claims = _regions(seen, calls, tree)
    claims.update((key, Claim(owner, "high")) for key, owner in tied.items())
    return context.model_copy(update={"calls": calls}), claims


class _Graph:
    """The main graph by the names of its values, and those that only repeat another."""

    def __init__(self, model: ir.Model, values: Values) -> None:
        self.values = values
        self.nodes = list(model.graph)
        self.inputs = {str(value.name) for value in model.graph.inputs}
        self.shapes = {
            str(value.name): value.shape
            for value in (*model.graph.inputs, *(out for node in self.nodes for out in node.outputs))
            if value.name
        }
        self.initializers = set(model.graph.initializers) - self.inputs
        self.is_static = all(
            isinstance(dim, int) for value in model.graph.inputs for dim in value.shape or ()
        )
        self.reads: dict[str, Sequence[str]] = {}
        """What the node behind a value reads."""
        self.key: dict[str, str] = {}
        """The first output of the node behind a value."""
        self.sizes: set[str] = set()
        """Values that hold sizes and nothing else of a tensor."""
        self.same_as: dict[str, str] = {}
        """Values that are equal to one that their own node reads."""
        found = values.fingerprints
        for node in self.nodes:
            names = reads(node)
            key = output_of(node)
            for out in node.outputs:
                if not out.name:
                    continue
                self.reads[out.name], self.key[out.name] = names, key
                if node.op_type in ("Shape", "Size") and node.domain == "":
                    self.sizes.add(out.name)
                if out.name in found:
                    alike = set(values.equal(found[out.name])) & set(names)
                    if alike:
                        self.same_as[out.name] = min(alike, key=values.order.__getitem__)

    def origin(self, name: str) -> str:
        """Return the value that a chain of repetitions begins with."""
        while name in self.same_as:
            name = self.same_as[name]
        return name


def _ties(graph: _Graph, observation: Observation) -> dict[str, int]:
    """Return nodes, by their first outputs, with the one call that computed what they compute."""
    calls: dict[str, set[int]] = {}
    for operation in observation.operations:
        if operation.value.constant:
            continue
        for name in graph.values.equal(operation.value):
            if name in graph.key and name in graph.values.variable and name not in graph.same_as:
                calls.setdefault(graph.key[name], set()).add(operation.call)
    return {key: rows.pop() for key, rows in calls.items() if len(rows) == 1}


class _PortFinder:
    """Finds the values that carry the ports of calls.

    Args:
        graph: The graph.
        context: With the observation.
        tree: The calls.
        tied: Nodes with the calls that made them, as far as known.
    """

    def __init__(
        self, graph: _Graph, context: ModuleContext, tree: CallTree, tied: Mapping[str, int]
    ) -> None:
        self._graph = graph
        self._tree = tree
        rows = {key: rows for key, rows in context.origins.items() if rows}
        self._owner = {**tied, **{key: tree.common(found) for key, found in rows.items()}}
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
        owners = {name: self._owner.get(self._graph.key.get(name, "")) for name in candidates}
        known = [n for n in candidates if (o := owners[n]) is not None and self._tree.contains(row, o)]
        if known:
            return known
        unknown = [name for name in candidates if owners[name] is None]
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
        names = [name for name in candidates if name in reached]
        outside = []
        for name in names:
            owner = self._owner.get(self._graph.key.get(name, ""))
            if owner is None or not self._tree.contains(row, owner):
                outside.append(name)
        names = outside or names
        origins = {self._graph.origin(name) for name in names}
        return names[:1] if len(origins) == 1 else names

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


def _regions(graph: _Graph, calls: Sequence[ModuleCall], tree: CallTree) -> dict[str, Claim]:
    """Claim what lies between the ports of calls, for the innermost.

    Where a call below has ports that were not found, it may have made some of what is left to the outer one.
    """
    located = [_is_located(call) for call in calls]
    hidden_below = {call.parent for call, found in zip(calls, located, strict=True) if not found}
    claims: dict[str, Claim] = {}
    for row, call in enumerate(calls):
        if not located[row]:
            continue
        starts = {port.carrier for port in call.inputs if not port.unused}
        between: set[str] = set()
        pending = [port.carrier for port in call.outputs if port.value and port.carrier not in starts]
        while pending:
            name = pending.pop()
            if name not in between and name not in starts:
                between.add(name)
                pending.extend(graph.reads.get(name, ()))
        confidence: Confidence = "medium" if row in hidden_below else "high"
        below = set(starts)
        for name in sorted(between, key=graph.values.order.__getitem__):
            if any(read in below for read in graph.reads.get(name, ())):
                below.add(name)
                claims[graph.key[name]] = Claim(row, confidence)
    return claims


def _is_located(call: ModuleCall) -> bool:
    return all(port.unused or port.value or port.initializer for port in (*call.inputs, *call.outputs))
