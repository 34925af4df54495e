"""Writing an extracted model with its sidecar."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir as ir

from hx_graph import replaced_tensors
from hx_sidecar_schema import HxError, Sidecar, atomic_folder, file_digest, final_folder, graph_digest

EXTERNAL_BYTES = 16 << 20
"""Weights beyond this size are written to a data file of their own: inside protobuf each byte is copied thrice."""


def save_model(model: ir.Model, sidecar: Sidecar, path: Path, weights: str, folder: Path | None) -> list[Path]:
    """Write a model, its data file where it has one, and its sidecar, all or nothing.

    Args:
        model: Its external weights lie in `folder`. Not changed.
        sidecar: Of that model.
        path: The ONNX file.
        weights: `copy`, `share` or `none`.
        folder: The exported model's; None where that is in memory.
    """
    if weights == "share" and (
        folder is None or any(isinstance(v.const_value, ir.ExternalTensor) for v in model.graph.initializers.values())
    ):
        _check_beside(path, folder)
    tensors = {name: t for name, v in model.graph.initializers.items() if (t := v.const_value) is not None}
    with atomic_folder(path.parent) as staging:
        target = staging / path.name
        update: dict[str, Any] = {"file": path.name}
        initializers = sidecar.initializers
        if weights == "copy":
            external = {name: t for name, t in tensors.items() if isinstance(t, ir.ExternalTensor)}
            inside = {name: ir.Tensor(tensor.numpy(), name=name) for name, tensor in external.items()}
            large = sum(tensor.nbytes for tensor in tensors.values()) > EXTERNAL_BYTES
            with replaced_tensors(model.graph, inside):
                ir.save(model, target, external_data=f"{path.name}.data" if large else None)
        elif weights == "share":
            ir.save(model, target)
        else:
            with _weights_as_inputs(model.graph):
                ir.save(model, target)
                update["graph_digest"] = graph_digest(model)
            initializers = [row.model_copy(update={"readers": []}) for row in initializers]
        info = sidecar.model.model_copy(update=update | {"file_digest": file_digest(target)})
        written = sidecar.model_copy(update={"model": info, "initializers": initializers})
        (staging / f"{path.stem}_hierarchy.json").write_bytes(written.to_json())
        names = [file.name for file in staging.iterdir()]
    return [path.parent / name for name in sorted(names)]


@contextmanager
def _weights_as_inputs(graph: ir.Graph) -> Generator[None]:
    """Make initializers inputs without a value for a while: a copy of the graph would take its nodes away."""
    moved = [(value, value.const_value) for value in graph.initializers.values()]
    try:
        for value, _ in moved:
            value.const_value = None
            graph.initializers.pop(str(value.name))
            graph.inputs.append(value)
        yield
    finally:
        for value, tensor in moved:
            graph.inputs.remove(value)
            value.const_value = tensor
            graph.initializers[str(value.name)] = value


def _check_beside(path: Path, folder: Path | None) -> None:
    """Refuse any folder but the exported model's: onnx 1.23 and ONNX Runtime read external data from there alone."""
    beside = final_folder(path.parent).resolve()
    if folder is None:
        raise HxError(
            f"Weights cannot be shared with {str(path)!r}: the exported model is in memory.",
            code="HX210",
            hint="Save the exported model and open it from there, or copy the weights.",
        )
    if beside != folder.resolve():
        raise HxError(
            f"Weights cannot be shared with {str(path)!r}: the data file lies in another folder.",
            code="HX210",
            hint=f"Write beside the exported model, in {str(folder)!r}, or copy the weights.",
        )
