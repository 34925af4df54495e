"""The operations of a PyTorch run beside the values of a graph that are equal to their results.

Operations read tensors: results of other operations, inputs, parameters. In a graph with fused nodes some tensors have
no equal value. Then what such a tensor was made of counts as read by the operation that reads the tensor, and that is
repeated until all have equal values.
"""

from collections.abc import Collection, Iterable, Set
from itertools import islice

from hx_projector._graph_index import grouped, reachable
from hx_projector.witness.graph_run import GraphRun
from hx_sidecar_schema import Observation

REACH = 64
"""Operations that are looked back over for a tensor that was transposed and transposed back."""


class MatchedObservation:
    """The tensors of an observation and the values of a graph, by equality."""

    def __init__(self, observation: Observation, run: GraphRun) -> None:
        """Match an observation with a run of the graph on equal inputs."""
        self.operations = observation.operations
        self.equal_values = [run.equal_to(operation.value) for operation in self.operations]
        """By tensor: the values that are equal to it, in topological order."""
        equal = grouped((name, tensor) for tensor, names in enumerate(self.equal_values) for name in names)
        self._tensors = {name: set(tensors) for name, tensors in equal.items()}
        self.values = equal.keys() | {name for port in observation.ports for name in run.equal_to(port.value)}
        """Values that are equal to some tensor of PyTorch, ports included."""

    def tensors(self, name: str) -> Set[int]:
        """Return the tensors that are equal to a value."""
        return self._tensors.get(name, frozenset())

    def calls(self, tensors: Iterable[int]) -> set[int]:
        """Return the calls whose operations made tensors."""
        return {row for tensor in tensors if (row := self.operations[tensor].call) is not None}

    def operands(self, tensors: Iterable[int]) -> set[int]:
        """Return the tensors that others were made of; for those without an equal value, also what these were made of."""
        return {read for tensor in self._with_fused(tensors, constants=True) for read in self.operations[tensor].reads}

    def spanned_calls(self, tensors: Iterable[int], *, constants: bool = False) -> set[int]:
        """Return the calls that made tensors, and what these were made of without an equal value; constants if asked for."""
        return self.calls(self._with_fused(tensors, constants=constants))

    def is_copy(self, names: Iterable[str], tensors: Collection[int]) -> bool:
        """Say whether a node that reads the values `names` and makes `tensors` only copies one of the values.

        It does where one of the values is equal to one of the tensors, unless

        * the operation in PyTorch read the other values too: it computed, and changed nothing, as where a bias is zero;
        * the operation in PyTorch itself read an equal tensor: it copied, say to another element type, and the node is
          that operation.
        """
        equal, operations = self.equal_values, self.operations
        operands = {tensor: (name for read in operations[tensor].reads for name in equal[read]) for tensor in tensors}
        computed = {tensor for tensor in tensors if set(equal[tensor]).isdisjoint(operands[tensor])}
        same = [name for name in names if not computed.isdisjoint(self.tensors(name))]
        others = {tensor for name in names if name not in same for tensor in self.tensors(name)}
        return bool(same) and others.isdisjoint(self.operands(tensors))

    def earlier_equals(self, name: str, tensors: Collection[int]) -> set[int]:
        """Return further tensors that a value is, of those that some tensors were made of.

        Exporters cancel a transposition and its inverse: one value is the tensor before both and the one behind. So the
        tensors are equal to the value, and to none that stands before it in the graph.
        """
        wanted = {other for other in self.tensors(name) if self.equal_values[other][0] == name} - set(tensors)
        if not wanted:
            return wanted
        return wanted & set(islice(reachable(tensors, lambda tensor: self.operations[tensor].reads), REACH))

    def _with_fused(self, tensors: Iterable[int], *, constants: bool) -> Iterable[int]:
        """Return tensors and, going back, their operands without an equal value."""

        def fused(tensor: int) -> list[int]:
            reads = (read for read in self.operations[tensor].reads if not self.equal_values[read])
            return [read for read in reads if constants or self.operations[read].variable]

        return reachable(tensors, fused)
