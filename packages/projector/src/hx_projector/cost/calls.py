"""What every module call costs: its nodes' costs, and those of all calls below it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import onnx_ir as ir

from hx_projector.cost.nodes import ModelCost, NodeCost, Weight
from hx_sidecar_schema import Node, Sidecar

_INTEGERS = {ir.DataType.INT64, ir.DataType.BOOL, ir.DataType.STRING}
"""Types of sizes, indices and flags: initializers of these count as parameters only where they are known to be some."""


class Cost(NamedTuple):
    """What nodes cost together.

    Attributes:
        nodes: How many.
        macs: Multiply-accumulates of those whose count is known.
        other: Other arithmetic, as onnx-tool counts it.
        parameters: Elements of the weights that they read, each weight once; sizes and indices are not among them.
        weight_bytes: Of all initializers that they read, each once.
        activation_bytes: Of all their outputs, views and intermediates included: not what is in memory at once.
        unknown: Nodes whose multiply-accumulates are not known.
        unsized: Outputs that are not in `activation_bytes`.
    """

    nodes: int
    macs: int
    other: int
    parameters: int
    weight_bytes: int
    activation_bytes: int
    unknown: int
    unsized: int


class _Sum:
    """What nodes cost, while they are counted."""

    def __init__(self) -> None:
        self.counts = [0] * 6  # nodes, macs, other, activation_bytes, unknown, unsized
        self.weights: set[str] = set()

    def node(self, row: NodeCost | None) -> None:
        if row is None:
            self.counts[0] += 1
            return
        found = row.arithmetic
        values = (1, found.macs, found.other, row.activation_bytes, bool(found.unknown), row.unsized)
        self.counts = [one + other for one, other in zip(self.counts, values, strict=True)]
        self.weights.update(row.weights)

    def include(self, below: _Sum) -> None:
        self.counts = [one + other for one, other in zip(self.counts, below.counts, strict=True)]
        self.weights |= below.weights

    def cost(self, weights: Mapping[str, Weight], parameters: Collection[str]) -> Cost:
        nodes, macs, other, activation_bytes, unknown, unsized = self.counts
        return Cost(
            nodes=nodes,
            macs=macs,
            other=other,
            parameters=sum(weights[name].elements for name in self.weights if name in parameters),
            weight_bytes=sum(weights[name].size_bytes for name in self.weights),
            activation_bytes=activation_bytes,
            unknown=unknown,
            unsized=unsized,
        )


class CallCost(NamedTuple):
    """What one call costs: the nodes that it owns itself, and with all calls below it."""

    own: Cost
    total: Cost


def call_costs(
    sidecar: Sidecar, cost: ModelCost, wanted: Callable[[Node], bool] = lambda node: True
) -> list[CallCost]:
    """Sum nodes to calls.

    Args:
        sidecar: Of the model. A node of a function costs nothing itself: the nodes that call the function have it.
        cost: Of its nodes; one that the sidecar has and the model has not costs nothing.
        wanted: Which nodes count.

    Returns:
        One row for each call, in their order.
    """
    rows = {(row.graph, row.output): row for row in cost.nodes}
    parameters = _parameters(sidecar, cost)
    own = [_Sum() for _ in sidecar.calls]
    for node in sidecar.nodes:
        if wanted(node):
            own[node.owner].node(rows.get((node.graph, node.output)))
    costs: list[CallCost] = []
    below: dict[int, _Sum] = {}
    for row in range(len(own) - 1, -1, -1):  # a call stands before those that it made
        total = below.pop(row, None) or _Sum()
        total.include(own[row])
        parent = sidecar.calls[row].parent
        if parent is not None:
            below.setdefault(parent, _Sum()).include(total)
        costs.append(CallCost(own[row].cost(cost.weights, parameters), total.cost(cost.weights, parameters)))
    return costs[::-1]


def total_cost(sidecar: Sidecar, cost: ModelCost, nodes: Iterable[Node]) -> Cost:
    """Sum some nodes of a sidecar, whoever owns them."""
    rows = {(row.graph, row.output): row for row in cost.nodes}
    total = _Sum()
    for node in nodes:
        total.node(rows.get((node.graph, node.output)))
    return total.cost(cost.weights, _parameters(sidecar, cost))


def _parameters(sidecar: Sidecar, cost: ModelCost) -> set[str]:
    known = {row.name for row in sidecar.initializers if row.parameter is not None}
    return {name for name, row in cost.weights.items() if name in known or row.dtype not in _INTEGERS}
