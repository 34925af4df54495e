"""The entry to attribution: from an ONNX model and what the tracer saw to the sidecar."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from hx_graph import CallTree
from hx_projector._claims import Claims
from hx_projector._graph_index import GraphIndex
from hx_projector.attribution.assemble import assemble
from hx_projector.attribution.boundaries import with_boundaries, with_ports_in_bodies
from hx_projector.attribution.owners import attribute_nodes
from hx_projector.file_metadata.context import read_context, with_unseen_calls
from hx_projector.witness.fingerprints import Array
from hx_projector.witness.matches import claim_by_witness
from hx_sidecar_schema import Confidence, ModuleContext, Sidecar, collector_paused


def project(
    model: ir.Model,
    context: ModuleContext,
    *,
    file: str,
    sources: Sequence[str] = ("exporter", "parameter", "dataflow"),
    feeds: Mapping[str, Array] | None = None,
    min_confidence: Confidence = "low",
) -> Sidecar:
    """Attribute every node of a model.

    Args:
        model: The exported model; not changed.
        context: What the tracer saw while it was exported.
        file: Name of the ONNX file, beside which the sidecar will lie.
        sources: Names of sources of evidence, the strongest first.
        feeds: Inputs of the run that the context observed, by their names in the graph. With them, the ports
            are found by their values where the context places none, and the source `witness` has something to say.
        min_confidence: Nodes that are known with less confidence are left to the root, and do not count as covered.

    Returns:
        The sidecar: an owner with its evidence for every node, nested graphs and functions included.

    Raises:
        HxError: HX121 if ONNX Runtime cannot run the model on the feeds, HX122 if there is no such source, HX209
            if ONNX Runtime is not installed.
        ValueError: If there are feeds, and the context has no observation.
    """
    witness: Claims = {}
    if feeds is not None:
        if context.observation is None:
            raise ValueError("`feeds` are the inputs of an observed run, and the context has no observation.")
        context, witness = claim_by_witness(model, context, context.observation, feeds)
        context, witness = with_unseen_calls(model.graph, context, witness)
    with collector_paused():
        graph, tree = GraphIndex(model.graph), CallTree(context.calls)
        found = attribute_nodes(model, graph, context, tree, sources, witness)
        if feeds is not None:
            context = with_ports_in_bodies(model.graph, context, found[0], tree)
        return assemble(model, context, found, file=file, min_confidence=min_confidence)


def project_file(
    model: ir.Model,
    *,
    file: str,
    sources: Sequence[str] = ("exporter", "parameter", "dataflow"),
    min_confidence: Confidence = "low",
) -> Sidecar:
    """Attribute every node of a model that was made elsewhere, by what the file itself says.

    Args:
        model: With types of its values, where calls shall be cut out of it; not changed.
        file: Name of the ONNX file.
        sources: Names of sources of evidence, the strongest first.
        min_confidence: As in `project`.

    Returns:
        The sidecar. Ports of its calls are the values that cross their boundaries, under their own names.

    Raises:
        HxError: HX122 if there is no such source.
    """
    with collector_paused():
        context = read_context(model)
        graph, tree = GraphIndex(model.graph), CallTree(context.calls)
        found = attribute_nodes(model, graph, context, tree, sources, {})
        context = with_boundaries(model.graph, context, found[0], tree)
        return assemble(model, context, found, file=file, min_confidence=min_confidence)
