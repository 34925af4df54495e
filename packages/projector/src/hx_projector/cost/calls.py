"""What module calls cost: the nodes that each owns itself, and with those of all calls below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from hx_graph import INDEX_TYPES
from hx_projector.cost.nodes import ModelCost, NodeCost, Weight
from hx_projector.cost.records import Cost, TotalCost, UnknownOperator
from hx_sidecar_schema import Node, Sidecar


class CallCost(NamedTuple):
    """What one call costs."""

    own: Cost
    """The nodes that it owns itself."""
    total: Cost
    """These, and those of all calls below it."""


class _Sum:
    """Costs of nodes while they are added up; a weight that several nodes read counts once."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        """By fields of `Cost`."""
        self.weights = set[str]()

    def add(self, row: NodeCost | None) -> None:
        self.counts["nodes"] += 1
        if row is not None:
            self.counts["macs"] += row.arithmetic.macs
            self.counts["other"] += row.arithmetic.other
            self.counts["activation_bytes"] += row.activation_bytes
            self.counts["unknown_nodes"] += bool(row.arithmetic.unknown)
            self.counts["unsized_values"] += row.unsized_values
            self.weights.update(row.weights)

    def include(self, below: _Sum) -> None:
        self.counts.update(below.counts)
        self.weights |= below.weights

    def cost(self, weights: Mapping[str, Weight], parameters: Collection[str]) -> Cost:
        summed = ("nodes", "macs", "other", "activation_bytes", "unknown_nodes", "unsized_values")
        return Cost(
            **{name: self.counts[name] for name in summed},
            parameters=sum(weights[name].elements for name in self.weights if name in parameters),
            weight_bytes=sum(weights[name].size_bytes for name in self.weights),
        )


def call_costs(sidecar: Sidecar, cost: ModelCost, wanted: Callable[[Node], bool] = lambda node: True) -> list[CallCost]:
    """Sum the wanted nodes of a sidecar to its calls; one row for each, in their order.

    A node of a function costs nothing itself: the nodes that call the function have it. Nor does one that only the
    sidecar has.
    """
    rows = {(row.graph, row.output): row for row in cost.nodes}
    parameters = _parameters(sidecar, cost)
    own = [_Sum() for _ in sidecar.calls]
    for node in sidecar.nodes:
        if wanted(node):
            own[node.owner].add(rows.get(node.key))
    total = [_Sum() for _ in sidecar.calls]
    for row in reversed(range(len(own))):  # a call stands before those that it made
        total[row].include(own[row])
        if (parent := sidecar.calls[row].parent) is not None:
            total[parent].include(total[row])
    return [CallCost(*(sums.cost(cost.weights, parameters) for sums in pair)) for pair in zip(own, total, strict=True)]


def total_cost(sidecar: Sidecar, cost: ModelCost, nodes: Iterable[Node]) -> TotalCost:
    """Sum some nodes of a sidecar, whoever owns them, and list the operators that are in no count."""
    rows = {(row.graph, row.output): row for row in cost.nodes}
    counted = [rows.get(node.key) for node in nodes]
    total = _Sum()
    for row in counted:
        total.add(row)
    arithmetic = [row.arithmetic for row in counted if row is not None]
    unknown = Counter(pair for found in arithmetic for pair in found.unknown)
    return TotalCost(
        total=total.cost(cost.weights, _parameters(sidecar, cost)),
        input_shapes=cost.inputs,
        unknown=[UnknownOperator(operator=name, reason=why, nodes=n) for (name, why), n in unknown.most_common()],
        uncounted=dict(Counter(name for found in arithmetic for name in found.uncounted).most_common()),
        once=cost.counted_once,
    )


def _parameters(sidecar: Sidecar, cost: ModelCost) -> set[str]:
    known = {row.name for row in sidecar.initializers if row.parameter is not None}
    constants = {row.name for row in sidecar.initializers if row.sources == []}  # as an exponent, or an epsilon
    weights = cost.weights.items()
    return {name for name, row in weights if name in known or (name not in constants and row.dtype not in INDEX_TYPES)}
