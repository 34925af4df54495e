"""Calls whose outputs TorchScript merged with equal values of other calls.

The exporter (torch 2.13) eliminates common subexpressions of the traced graph, before it makes ONNX nodes. What an output
is has no name there: it is a tensor that a node made in the call and one outside of it reads.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import torch

from hx_sidecar_schema import subtree_ends


@dataclass(frozen=True)
class _Node:
    call: int
    """Row of the innermost call that ran it; -1 where none did."""
    operator: Hashable
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_data: bool
    """Whether it makes tensors, of others."""


class Elimination:
    """TorchScript's elimination of common subexpressions, watched.

    Args:
        call_of: Returns the row of the innermost call in the name of a scope; None where it has none.
        parents: Returns the row of the call around each call, of those that the trace ran.
    """

    def __init__(self, call_of: Callable[[str], int | None], parents: Callable[[], Sequence[int | None]]) -> None:
        """Know of nothing merged."""
        self._call_of, self._parents = call_of, parents
        self.merged: dict[int, set[int]] = {}
        """Rows of calls to those of the calls outside them that computed one of their outputs too."""

    def watch(self, original: Callable[[Any], bool], graph: Any) -> bool:
        """Run the pass on a graph and note what it merged."""
        before = list(self._nodes(graph))
        readers: defaultdict[str, set[int]] = defaultdict(set)
        for node in before:
            for name in node.inputs:
                readers[name].add(node.call)
        for value in graph.outputs():
            readers[value.debugName()].add(-1)
        changed = original(graph)
        left = {name for node in self._nodes(graph) for name in node.outputs}
        parents = self._parents()
        ends = subtree_ends(parents)
        for nodes in _merged(before, left):
            for node, other in permutations(nodes, 2):
                used = {reader for name in node.outputs for reader in readers[name]}
                row = node.call if node.call >= 0 else None
                while row is not None and not row <= other.call < ends[row]:
                    if other.call >= 0 and any(not row <= reader < ends[row] for reader in used):
                        self.merged.setdefault(row, set()).add(other.call)
                    row = parents[row]
        return changed

    def _nodes(self, block: Any) -> Iterator[_Node]:
        for node in block.nodes():
            call = self._call_of(node.scopeName())
            inputs = tuple(value.debugName() for value in node.inputs())
            yield _Node(
                call=-1 if call is None else call,
                operator=(node.kind(), *((name, _attribute(node, name)) for name in node.attributeNames())),
                inputs=inputs,
                outputs=tuple(value.debugName() for value in node.outputs()),
                is_data=bool(inputs) and all(isinstance(value.type(), torch.TensorType) for value in node.outputs()),
            )
            for inner in node.blocks():
                yield from self._nodes(inner)


def _merged(before: Sequence[_Node], left: set[str]) -> list[list[_Node]]:
    """Return the nodes that were made one, by the values that are left of them; those that make data alone."""
    stands_for: dict[str, str] = {}
    groups: dict[Hashable, list[_Node]] = {}
    for node in before:
        group = groups.setdefault((node.operator, *(stands_for.get(name, name) for name in node.inputs)), [])
        if left.isdisjoint(node.outputs) and group:
            stands_for.update(zip(node.outputs, group[0].outputs, strict=True))
            group.append(node)
        elif not group:
            group.append(node)
    return [group for group in groups.values() if len(group) > 1 and group[0].is_data]


def _attribute(node: Any, name: str) -> Hashable:
    value = getattr(node, node.kindOf(name))(name)
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), hashlib.sha256(bytes(value.cpu().untyped_storage())).digest()
    return str(value)
