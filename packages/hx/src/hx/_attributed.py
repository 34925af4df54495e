"""An export with the module of every node."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hx_sidecar_schema import Confidence, ModelDoesNotRun, ModuleContext, Sidecar, Strategy

if TYPE_CHECKING:
    from hx_tracer import Exported


def attributed(
    exported: Exported, strategy: Strategy, *, file: str, min_confidence: Confidence
) -> tuple[Sidecar, Exported]:
    """Attribute every node of an export.

    Returns:
        The sidecar, and the export with a note where ONNX Runtime cannot run the graph and the exporter's word has to do:
        no call has ports then.

    Raises:
        HxError: HX121 if ONNX Runtime cannot run the graph and the strategy does not ask the exporter.
    """
    from hx_projector import project

    def projected(context: ModuleContext, feeds: dict[str, Any] | None) -> Sidecar:
        return project(
            exported.program.model,
            context,
            file=file,
            sources=strategy.sources,
            feeds=feeds,
            min_confidence=min_confidence,
        )

    try:
        return projected(exported.context, _feeds_of(exported) if strategy.observer else None), exported
    except ModelDoesNotRun as error:
        if strategy.sources[0] != "exporter":
            raise
        note = (
            f"{error.message.rstrip('.')}. Owners are the exporter's word alone, and no call can be cut out."
        )
    reason = "ONNX Runtime cannot run the graph, so its values do not say where the ports are."
    lost = {"status": "fused", "reason": reason}
    calls = [call.model_copy(update=lost) for call in exported.context.calls]
    sidecar = projected(exported.context.model_copy(update={"calls": calls}), None)
    return sidecar, replace(exported, notes=[*exported.notes, note])


def _feeds_of(exported: Exported) -> dict[str, Any]:
    """Return the example inputs as arrays, by their names in the graph."""
    from hx._verify.whole_model import to_numpy

    return {name: to_numpy(tensor) for name, tensor in exported.inputs.items()}
