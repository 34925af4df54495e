"""What a model file itself can say of its modules, and what an exporter wrote into it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import onnx_ir as ir

from hx_graph import all_graphs, all_nodes, output_of
from hx_sidecar_schema import EMBEDDED, Sidecar, embedded


def embed(model: ir.Model, sidecar: Sidecar) -> None:
    """Write a sidecar into the metadata of its model, in place.

    Every node gets the module, its tag and how that is known, for people and for tools that read node metadata;
    the model gets the whole sidecar, so that the file can be read alone. ONNX Runtime ignores metadata.
    """
    nodes = {node.key: node for node in sidecar.nodes}
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
    """Remove what the exporter wrote into nodes and values, in place: kilobytes a node, with lines of the source."""
    for holder in metadata_holders(model):
        for key in list(holder.metadata_props):
            if key.startswith("pkg.torch.") or key == "namespace":
                del holder.metadata_props[key]
        if isinstance(holder, ir.Node):
            holder.doc_string = None


@contextmanager
def restored_metadata(model: ir.Model) -> Generator[None]:
    """Give a model back the metadata and documentation that it has now, on exit."""
    before = [(holder, dict(holder.metadata_props), holder.doc_string) for holder in metadata_holders(model)]
    try:
        yield
    finally:
        for holder, metadata, text in before:
            holder.metadata_props.clear()
            holder.metadata_props.update(metadata)
            holder.doc_string = text


def metadata_holders(model: ir.Model) -> Iterator[ir.Model | ir.Graph | ir.Function | ir.Node | ir.Value]:
    """Yield all that can have metadata and documentation: a model, its graphs, nodes and values."""
    yield model
    for graph in all_graphs(model):
        yield graph
        yield from graph.inputs
        if isinstance(graph, ir.Graph):
            yield from graph.initializers.values()
        for node in graph:
            yield node
            yield from node.outputs
