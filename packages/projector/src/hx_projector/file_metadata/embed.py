"""What a model file itself can say of its modules, and what an exporter wrote into it."""

from __future__ import annotations

import onnx_ir as ir

from hx_graph import all_nodes, body_inputs, output_of
from hx_sidecar_schema import EMBEDDED, Sidecar, embedded

_EXPORTER_PREFIX = "pkg.torch."
_EXPORTER_KEYS = ("namespace",)


def embed(model: ir.Model, sidecar: Sidecar) -> None:
    """Write a sidecar into the metadata of its model, in place.

    Every node gets the module, its tag and how that is known, for people and for tools that read node metadata;
    the model gets the whole sidecar, so that the file can be read alone. ONNX Runtime ignores metadata.

    Args:
        model: The model.
        sidecar: Of that model.
    """
    nodes = {(node.graph, node.output): node for node in sidecar.nodes}
    for path, node in all_nodes(model):
        row = nodes[path, output_of(node)]
        call = sidecar.calls[row.owner]
        node.metadata_props.update(
            {
                "pkg.hx.module": sidecar.module_of(call).fqn,
                "pkg.hx.call": str(call.index),
                "pkg.hx.tag": sidecar.display_tag(row.owner),
                "pkg.hx.evidence": row.evidence,
                "pkg.hx.confidence": row.confidence,
            }
        )
    model.metadata_props[EMBEDDED] = embedded(sidecar)


def strip_metadata(model: ir.Model) -> None:
    """Remove what the exporter wrote into nodes and values, in place: kilobytes a node, with paths of the machine."""
    nodes = list(all_nodes(model))
    holders = [
        model,
        model.graph,
        *model.graph.inputs,
        *body_inputs(model.graph),
        *model.graph.initializers.values(),
        *model.functions.values(),
        *(holder for _, node in nodes for holder in (node, *node.outputs)),
    ]
    for holder in holders:
        metadata = holder.metadata_props
        for key in [key for key in metadata if key.startswith(_EXPORTER_PREFIX) or key in _EXPORTER_KEYS]:
            del metadata[key]
    for _, node in nodes:
        node.doc_string = None
