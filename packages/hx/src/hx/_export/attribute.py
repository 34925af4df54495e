"""Giving the nodes of an export to module calls."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hx._provenance import provenance_of
from hx._tensors import to_numpy
from hx_sidecar_schema import Confidence, ModelDoesNotRun, Sidecar, Strategy

if TYPE_CHECKING:
    from hx_tracer import Exported


def attribute(
    exported: Exported, strategy: Strategy, *, file: str, min_confidence: Confidence
) -> tuple[Sidecar, Exported]:
    """Find the module call of every node of an export.

    Returns:
        The sidecar, and the export with what made it; with a note where ONNX Runtime cannot run the graph and the
        exporter's word has to do: no call has ports then.

    Raises:
        ModelDoesNotRun: HX121 if ONNX Runtime cannot run the graph and the strategy does not ask the exporter.
    """
    import hx_projector

    context = exported.context.model_copy(update={"generator": provenance_of(exported.context.generator)})
    exported = replace(exported, context=context)
    project = partial(
        hx_projector.project, exported.program.model, file=file, sources=strategy.sources, min_confidence=min_confidence
    )
    feeds = {name: to_numpy(tensor) for name, tensor in exported.inputs.items()}
    try:
        return project(context, feeds=feeds if strategy.observer else None), exported
    except ModelDoesNotRun as error:
        if strategy.sources[0] != "exporter":
            raise
        note = f"{error.message.rstrip('.')}. Owners are the exporter's word alone, and no call can be cut out."
    reason = "ONNX Runtime cannot run the graph, so its values do not say where the ports are."
    calls = [call.model_copy(update={"status": "fused", "reason": reason}) for call in context.calls]
    sidecar = project(context.model_copy(update={"calls": calls}), feeds=None)
    return sidecar, replace(exported, notes=[*exported.notes, note])
