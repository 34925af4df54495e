"""Graphs whose names say nothing, attributed by their values."""

from __future__ import annotations

import onnx_ir as ir

import hx
import hx_projector
import hx_tracer
from hx_graph import all_nodes, values_in
from hx_sidecar_schema import Sidecar

SOURCES = ("witness", "dataflow")


def attribute_without_names(exported: hx.Export) -> tuple[Sidecar, dict[str, str]]:
    """Rename everything in an export, which is changed, and attribute it by its values alone.

    Returns:
        The sidecar, and the new names of values by the old ones.
    """
    feeds = exported.example_inputs()
    given = exported.loaded.example
    names = rename_all(exported.model)
    sidecar = hx_projector.project(
        exported.model,
        hx_tracer.observed_context(exported.module, given.kwargs, args=given.args),
        file="renamed.onnx",
        sources=SOURCES,
        feeds={names[name]: array for name, array in feeds.items()},
    )
    return sidecar, names


def rename_all(model: ir.Model) -> dict[str, str]:
    """Rename nodes to n1, n2, ... and values to v1, v2, ..., drop the metadata, and return the new names by the old."""
    values = [value for value in dict.fromkeys(values_in(model.graph)) if value.name]
    names = {str(value.name): f"v{index}" for index, value in enumerate(values, start=1)}
    for value in values:
        value.name = names[str(value.name)]
    for index, (_, node) in enumerate(all_nodes(model), start=1):
        node.name = f"n{index}"
        node.metadata_props.clear()
    return names
