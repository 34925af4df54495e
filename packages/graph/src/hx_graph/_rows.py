"""Whether a sidecar's rows are those of a model's nodes."""

from __future__ import annotations

import onnx_ir as ir

from hx_graph._identity import output_of
from hx_graph._nested import all_nodes
from hx_sidecar_schema import ForeignSidecar, Sidecar


def check_rows(model: ir.Model, sidecar: Sidecar) -> None:
    """Refuse a sidecar that lacks a row of a node, or has one of a node that the model does not have.

    Raises:
        HxError: HX203 with the first such node.
    """
    rows = {(row.graph, row.output) for row in sidecar.nodes}
    nodes = {(path, output_of(node)) for path, node in all_nodes(model)}
    odd = next(iter(sorted(rows ^ nodes)), None)
    if odd is not None:
        says = "has a row of node {!r}, which the model does not have" if odd in rows else "says nothing of node {!r}"
        raise ForeignSidecar(
            f"Sidecar of {sidecar.model.file!r} {says.format(odd[1])}.", hint="Export the model again."
        )
