"""The entry to the witness: a graph beside an observation of its module, on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from hx_graph import CallTree, bodies_in
from hx_projector._claims import Claim
from hx_projector.witness.fingerprints import Array
from hx_projector.witness.matches import ValueMatches
from hx_projector.witness.ports import PortFinder, claims_between_ports
from hx_sidecar_schema import ModuleContext, Observation


def claim_by_witness(
    model: ir.Model, context: ModuleContext, observation: Observation, feeds: Mapping[str, Array]
) -> tuple[ModuleContext, dict[str, Claim]]:
    """Claim nodes, and find the ports of calls, by tensors that are equal in a PyTorch run and in a run of the graph.

    Tensors of one single number, masks of ones, and values that several calls computed alike decide nothing.

    Args:
        model: An ONNX model of the module; not changed.
        context: Where it says of any port which value carries it, no ports are looked for.
        observation: Of a run in PyTorch, on the same inputs.
        feeds: The inputs, by their names in the graph.

    Returns:
        The context with the ports that were found and the calls of merged nodes, and claims by the nodes' first outputs: those of high confidence by
        a node's own value or its readers, else those by the ports around it, else those of medium confidence.

    Raises:
        HxError: HX121 if ONNX Runtime cannot run the model, HX209 if it is not installed.
    """
    tree, calls = CallTree(context.calls), context.calls
    matches = ValueMatches(model, observation, feeds, tree)
    context = matches.with_merged(context)
    if not any(port.value for call in calls for port in (*call.inputs, *call.outputs)):
        finder = PortFinder(matches.run, context, tree, matches.certain(), observation.ports)
        inside = _calls_in_bodies(model.graph, context)
        calls = [call if row in inside else finder.with_carriers(row, call) for row, call in enumerate(calls)]
    claims = {**matches.claims, **claims_between_ports(matches.run.index, calls, tree, matches.ambiguous)}
    claims.update((key, claim) for key, claim in matches.claims.items() if claim.confidence == "high")
    return context.model_copy(update={"calls": calls}), claims


def _calls_in_bodies(graph: ir.Graph, context: ModuleContext) -> set[int]:
    """Return the calls whose weights nodes of bodies read: values of the main graph that are equal to theirs are others."""
    read = {value.name for body in bodies_in(graph) for node in body for value in node.inputs if value is not None}
    modules = {
        str(row.parameter).rpartition(".")[0] for row in context.initializers if row.parameter and row.name in read
    }
    return {row for row, call in enumerate(context.calls) if context.modules[call.module].fqn in modules}
