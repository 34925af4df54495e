"""Values as witnesses: the same tensor in a PyTorch run and in a run of the graph.

A node whose result one operation of one call computed, and no other, was made by that call. Ports are found the same
way, and what lies strictly between the input ports and the output ports of a call ran inside it, whatever became of
it. Names say nothing here: a graph that was renamed or optimised is read like any other.

Tensors of one single number, masks of ones, and values that several calls computed alike decide nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir

from hx_graph.call_tree import CallTree
from hx_projector.attribution.sources import Claim
from hx_projector.witness.graph import WitnessedGraph
from hx_projector.witness.matches import Ties
from hx_projector.witness.ports import PortFinder
from hx_projector.witness.values import Array, Values
from hx_sidecar_schema import Confidence, ModuleCall, ModuleContext


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
    seen = context.observation
    values.compare_with(row.value for row in (*seen.operations, *seen.ports))
    graph = WitnessedGraph(model, values)
    ties = Ties(graph, seen, tree)
    calls = context.calls
    if not any(port.value for call in calls for port in (*call.inputs, *call.outputs)):
        finder = PortFinder(graph, context, tree, ties.certain())
        calls = [finder.located(row, call) for row, call in enumerate(calls)]
    claims = {**ties.claims, **_regions(graph, calls, tree, ties.doubtful)}
    claims.update((key, claim) for key, claim in ties.claims.items() if claim.confidence == "high")
    return context.model_copy(update={"calls": calls}), claims


def _regions(
    graph: WitnessedGraph, calls: Sequence[ModuleCall], tree: CallTree, doubtful: Collection[str]
) -> dict[str, Claim]:
    """Claim what lies between the ports of calls, for the innermost.

    Where a call below has ports that were not found, it may have made some of what is left to the outer one. What several
    calls can have made may stand on either side of a boundary.
    """
    located = [_is_located(call) for call in calls]
    hidden_below = {call.parent for call, found in zip(calls, located, strict=True) if not found}
    claims: dict[str, Claim] = {}
    for row, call in enumerate(calls):
        if not located[row]:
            continue
        starts = {port.carrier for port in call.inputs if not port.unused}
        if not starts:
            continue
        between: set[str] = set()
        pending = [port.carrier for port in call.outputs if port.value and port.carrier not in starts]
        while pending:
            name = pending.pop()
            if name not in between and name not in starts:
                between.add(name)
                pending.extend(graph.reads.get(name, ()))
        confidence: Confidence = "medium" if row in hidden_below else "high"
        below = set(starts)
        for name in sorted(between & graph.key.keys(), key=graph.values.order.__getitem__):
            if any(read in below for read in graph.reads.get(name, ())):
                below.add(name)
                key = graph.key[name]
                before = claims.get(key)
                if before is not None and not tree.contains(before.owner, row):
                    claims[key] = before._replace(
                        confidence="medium"
                    )  # shared: the first call that needed it made it
                else:
                    claims[key] = Claim(row, "medium" if key in doubtful else confidence)
    return claims


def _is_located(call: ModuleCall) -> bool:
    return all(port.unused or port.value or port.initializer for port in (*call.inputs, *call.outputs))
