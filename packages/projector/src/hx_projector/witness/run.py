"""The entry to the witness: a graph beside an observation of its module, on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from hx_graph import CallTree, nodes_below, output_of
from hx_projector._claims import Claim
from hx_projector.witness.fingerprints import Array
from hx_projector.witness.matches import ValueMatches
from hx_projector.witness.ports import PortFinder, claims_between_ports
from hx_sidecar_schema import ModuleContext, Observation


def claim_by_witness(
    model: ir.Model, context: ModuleContext, observation: Observation, feeds: Mapping[str, Array]
) -> tuple[ModuleContext, dict[str, Claim]]:
    """Claim nodes, and find the ports of calls, by tensors that are equal in a PyTorch run and in a run of the graph.

    Tensors of one single number, masks of ones, and values that several calls computed alike decide nothing. The context
    gets the calls of merged nodes, and the ports that were found, where it says of no port which value carries it. Of the
    claims about a node those of high confidence by its own value or its readers count, else those by the ports around it,
    else those of medium confidence.

    Raises:
        HxError: HX121 if ONNX Runtime cannot run the model, HX209 if it is not installed.
    """
    tree, calls = CallTree(context.calls), context.calls
    matches = ValueMatches(model, observation, feeds, tree)
    context = matches.with_merged(context)
    if not any(port.value for call in calls for port in (*call.inputs, *call.outputs)):
        finder = PortFinder(matches.run, context, tree, matches.certain(), observation.ports)
        inside = _calls_in_bodies(model.graph, context, tree)
        calls = [call if row in inside else finder.with_carriers(row, call) for row, call in enumerate(calls)]
    claims = {**matches.claims, **claims_between_ports(matches.run.index, calls, tree, matches.ambiguous)}
    claims.update((key, claim) for key, claim in matches.claims.items() if claim.confidence == "high")
    return context.model_copy(update={"calls": calls}), claims


def _calls_in_bodies(graph: ir.Graph, context: ModuleContext, tree: CallTree) -> set[int]:
    """Return the calls that weights show to have run in a body, inside the call that ran the node with the body.

    Values of the main graph that are equal to theirs are others. The call around is that of the node, else the one that all
    modules in its bodies have in common.
    """
    called = {call.module: row for row, call in reversed(list(enumerate(context.calls)))}
    module_rows = {module.fqn: row for row, module in enumerate(context.modules)}
    callers: dict[str, int] = {}
    """Of a weight: the first call of its module, or of the innermost module around that was called."""
    for weight in context.initializers:
        module = module_rows.get(weight.parameter.rpartition(".")[0]) if weight.parameter else None
        while module is not None and module not in called:
            module = context.modules[module].parent
        if module is not None:
            callers[weight.name] = called[module]
    inside: set[int] = set()
    for node in graph:
        read = (value.name for _, inner in nodes_below(node) for value in inner.inputs if value is not None)
        rows = {callers[name] for name in read if name in callers}
        if rows:
            around = tree.common(context.origins.get(output_of(node), rows))
            inside |= {row for row in rows if row != around and tree.contains(around, row)}
    return inside
