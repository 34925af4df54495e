"""What can be inferred about a node from the nodes that read it.

A node whose value is not distinctive, such as a mask, is told by its readers: the operation behind a reader was given one
tensor of these numbers, and that is the node's tensor. A node that PyTorch has no tensor for, such as a literal or the
shape given to a Reshape, is an inner step of its reader's operation. No other call can have made that, unless one asked
for the sizes that it derives from.

Three passes: against the order of the graph, the tensors that each node stands for and the operands of its operation;
in order, what sizes and inner steps derive from; against it again, the calls that may have made each node.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from hx_projector.witness.graph_run import GraphRun
from hx_projector.witness.observation import MatchedObservation


@dataclass
class NodeOrigin:
    """Where a node comes from among the operations of PyTorch; tensors as in `MatchedObservation`."""

    tensors: set[int] = field(default_factory=set[int])
    """Tensors that the node stands for."""
    operands: set[int] = field(default_factory=set[int])
    """Tensors that the values it reads may be."""
    is_inner_step: bool = False
    """Some reader's operation was given no such tensor: the node is part of that operation."""
    is_copy: bool = False
    """Its value equals one that it reads, and it computes nothing else."""
    candidates: set[int] = field(default_factory=set[int])
    """Calls that may have made it."""
    certain: bool = True
    """Whether no call beside the candidates can have made it."""


class ReaderInference:
    """Infers the origins of all nodes of a graph; nodes go by their first outputs."""

    def __init__(self, run: GraphRun, observed: MatchedObservation, distinctive: Mapping[str, list[int]]) -> None:
        """Infer the origins; distinctive are nodes that their own values tell, with the tensors that they compute."""
        self._run, self._index = run, run.index
        self._observed = observed
        self._distinctive = distinctive
        self._reads_untraced: set[str] = set()
        """Values of inner steps that derive from tensors which their operation was not given."""
        self._size_queries: dict[str, set[int]] = {}
        """Of a value made of sizes, the calls that asked for these sizes."""
        self._derived_from_operands: set[str] = set()
        """Constants and sizes that are made of what their operation was given, or of its own inner steps."""
        self.origins = {key: NodeOrigin() for key in self._index.nodes}
        for key in reversed(self._index.nodes):
            self._infer_tensors(key)
        copies = [origin for origin in self.origins.values() if origin.is_copy]
        self._copies = Counter(tensor for origin in copies for tensor in origin.tensors)
        """Of each tensor, how many nodes only copy it."""
        for key in self._index.nodes:
            self._trace_operands(key)
            if key in run.input_dependent and key not in self._index.data:
                self._trace_size_queries(key)
            else:
                self._trace_inner_step(key)
        for key in reversed(self._index.nodes):
            self._infer_candidates(key)

    def _infer_tensors(self, key: str) -> None:
        """Find the tensors that a node stands for: its readers' operands of equal numbers."""
        observed, origin = self._observed, self.origins[key]
        if key in self._distinctive:
            origin.tensors.update(self._distinctive[key])
            origin.operands = observed.operands(origin.tensors)
            return
        for name, reader in self._uses(key):
            equal = observed.tensors(name) & reader.operands
            origin.tensors |= equal
            if not equal:
                origin.is_inner_step = True
                origin.operands |= reader.operands
        origin.is_copy = observed.is_copy(self._index.reads[key], origin.tensors)
        if not origin.is_copy:
            for name in self._index.outputs_of(key):
                origin.tensors |= observed.earlier_equals(name, origin.tensors)
        origin.operands |= origin.tensors if origin.is_copy else observed.operands(origin.tensors)

    def _trace_operands(self, key: str) -> None:
        """Note a constant or size that reads an operand of its operation, or what derives from one."""
        operands = self.origins[key].operands
        for name in self._index.reads[key] if key not in self._index.data else ():
            given = name in self._derived_from_operands or self._observed.tensors(name) & operands
            if given or self._is_inner_value(name):
                self._derived_from_operands.update(self._index.outputs_of(key))

    def _is_inner_value(self, name: str) -> bool:
        """Say whether a value is an inner step without an equal tensor: no other call can ask for its size."""
        key = self._index.producer.get(name)
        if key is None or name not in self._index.data or name in self._observed.values:
            return False
        return self.origins[key].is_inner_step and not self.origins[key].tensors

    def _trace_size_queries(self, key: str) -> None:
        """Note the calls that asked for the sizes that a node is made of."""
        names = [name for name in self._index.reads[key] if name in self._run.input_dependent]
        calls: set[int] = set()
        if not self._makes_list(key, names):
            for name in names:
                if name in self._size_queries:
                    calls |= self._size_queries[name]
                else:
                    calls.update(*(self._observed.operations[tensor].sized for tensor in self._observed.tensors(name)))
        self._size_queries.update((out, calls) for out in self._index.outputs_of(key))

    def _makes_list(self, key: str, names: Sequence[str]) -> bool:
        """Say whether a node makes a list of single numbers: modules hand numbers on, operations take lists."""
        made, given = self._run.shape(key), [self._run.shape(name) for name in names]
        if made is None or None in given:
            return False
        return (made != [] and all(shape == [] for shape in given)) or (
            prod(made) > 1 and all(shape in ([], [1]) for shape in given)
        )

    def _trace_inner_step(self, key: str) -> None:
        """Note an inner step that reads a tensor which its operation was not given, and the calls in between."""
        observed, origin = self._observed, self.origins[key]
        if not origin.is_inner_step or origin.tensors:
            return
        for name in self._index.reads[key]:
            equal = observed.tensors(name)
            if name not in self._index.data or equal & origin.operands:
                continue
            # A step may begin further back: exporters make one of two transpositions.
            passed = [tensor for tensor in origin.operands if not equal.isdisjoint(observed.operations[tensor].reads)]
            origin.candidates |= observed.calls(passed)
            untraced = not passed and (name in observed.values or name in self._index.inputs)
            if untraced or name in self._reads_untraced:
                self._reads_untraced.update(self._index.outputs_of(key))

    def _infer_candidates(self, key: str) -> None:
        """Find the calls that may have made a node, and whether any other may have."""
        observed, origin = self._observed, self.origins[key]
        if key in self._distinctive:
            origin.candidates = observed.spanned_calls(origin.tensors, constants=True)
            return
        uses = self._uses(key)
        origin.certain = bool(uses) and not self._index.is_handed_out(key)
        for name, reader in uses:
            equal = observed.tensors(name) & reader.operands
            calls = observed.calls(equal)
            constant = all(observed.operations[tensor].value.constant for tensor in equal)
            # A literal may be one of the operation's own numbers, which are equal to a tensor by chance.
            by_chance = not self._index.nodes[key].inputs and constant
            inside = not calls or origin.is_copy or by_chance
            origin.candidates |= calls | reader.candidates if inside else calls
            origin.certain &= reader.certain or not constant
        origin.candidates |= observed.calls(origin.tensors)
        if origin.is_copy:
            self._infer_copier(key, origin, [reader for _, reader in uses])
        if not origin.is_inner_step:
            return
        origin.candidates |= self._size_queries.get(key, set())
        if key in self._index.data:
            traced = bool(origin.tensors) or key not in observed.values
            origin.certain &= key not in self._reads_untraced and traced
        elif not self._index.data.isdisjoint(self._index.readers_of(key)):
            # Numbers and lists of them are arguments of operations; tables that were not given are anybody's.
            is_table = len(self._run.shape(key) or ()) > 1
            origin.certain &= not is_table or key in self._derived_from_operands

    def _infer_copier(self, key: str, origin: NodeOrigin, readers: Sequence[NodeOrigin]) -> None:
        """Add the calls that handed the tensor on; where one did as often as the graph copies it, only that one."""
        again = [row for tensor in origin.tensors for row in self._observed.operations[tensor].repeated]
        count = max(self._copies[tensor] for tensor in origin.tensors)
        users = set[int]().union(*(reader.candidates for reader in readers))
        reads_nothing_else = all(self._observed.tensors(name) <= origin.tensors for name in self._index.reads[key])
        # What several calls read is no inner step of theirs.
        if len(users) > 1 and len(again) == count and len(set(again)) == 1 and reads_nothing_else:
            origin.candidates = set(again)
        else:
            origin.candidates.update(again)

    def _uses(self, key: str) -> list[tuple[str, NodeOrigin]]:
        """Return the outputs of a node with the origin of each of their readers."""
        names = self._index.outputs_of(key)
        return [(name, self.origins[reader]) for name in names for reader in self._index.readers.get(name, ())]
