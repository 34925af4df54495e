"""Claims about the nodes between the ports of calls: what leads from a call's inputs to its outputs ran inside it.

Only calls whose ports are all found have a region: the nodes on a path from an input port to an output port. Where
regions lie in each other the innermost call counts, since calls stand after those that made them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hx_graph import CallTree
from hx_projector._claims import Claim
from hx_projector.witness.graph import WitnessedGraph
from hx_sidecar_schema import ModuleCall


def claims_between_ports(
    graph: WitnessedGraph, calls: Sequence[ModuleCall], tree: CallTree, ambiguous: Collection[str]
) -> dict[str, Claim]:
    """Return claims about the nodes between the ports of calls, by first outputs.

    A claim is of high confidence, but medium where

    * a call below has ports that were not found, and may have made the node;
    * the node is ambiguous: it may stand on either side of a boundary;
    * the regions of several calls share it, none of which lies in another: the first call that needed it has it.

    Args:
        graph: The graph with its values.
        calls: With the carriers of their ports.
        tree: The calls.
        ambiguous: Nodes that several calls may have made.
    """
    located = [_is_located(call) for call in calls]
    hidden_below = {call.parent for call, found in zip(calls, located, strict=True) if not found}
    claims: dict[str, Claim] = {}
    for row, call in enumerate(calls):
        starts = {port.carrier for port in call.inputs if not port.unused}
        if not located[row] or not starts:
            continue
        for key in _nodes_between(graph, starts, call):
            before = claims.get(key)
            if before is not None and not tree.contains(before.owner, row):
                claims[key] = Claim(before.owner, "medium")
            else:
                doubt = key in ambiguous or row in hidden_below
                claims[key] = Claim(row, "medium" if doubt else "high")
    return claims


def _nodes_between(graph: WitnessedGraph, starts: set[str], call: ModuleCall) -> list[str]:
    """Return the nodes on paths from input ports to output ports of a call, in topological order."""
    leading_to_outputs: set[str] = set()
    pending = [port.carrier for port in call.outputs if port.value and port.carrier not in starts]
    while pending:
        name = pending.pop()
        if name not in leading_to_outputs and name not in starts:
            leading_to_outputs.add(name)
            pending.extend(graph.index.operands_of(name))
    below = set(starts)
    nodes: list[str] = []
    for name in sorted(leading_to_outputs & graph.index.producer.keys(), key=graph.index.order):
        if any(read in below for read in graph.index.operands_of(name)):
            below.add(name)
            nodes.append(graph.index.producer[name])
    return nodes


def _is_located(call: ModuleCall) -> bool:
    return all(port.unused or port.value or port.initializer for port in (*call.inputs, *call.outputs))
