"""Writing an extracted model with its sidecar."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir as ir

from hx_graph import tensors_in, write_model
from hx_sidecar_schema import HxError, Sidecar, atomic_folder, file_digest, final_folder, graph_digest


def save_model(model: ir.Model, sidecar: Sidecar, path: Path, weights: str, folder: Path | None) -> list[Path]:
    """Write a model, its data file where it has one, and its sidecar, all or nothing.

    Args:
        model: Its external weights lie in `folder`. Not changed.
        sidecar: Of that model.
        path: The ONNX file.
        weights: `copy`, `share` or `none`.
        folder: The exported model's; None where that is in memory.
    """
    if weights == "share":
        check_shareable(model, path, folder)
    with atomic_folder(path.parent, "path") as staging:
        target = staging / path.name
        update: dict[str, Any] = {"file": path.name}
        initializers = sidecar.initializers
        if weights == "copy":
            write_model(model, target)
        elif weights == "share":
            ir.save(model, target)
        else:
            with _weights_as_inputs(model.graph):
                write_model(model, target)
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


def check_shareable(model: ir.Model, path: Path, folder: Path | None) -> None:
    """Refuse any folder but the exported model's: onnx 1.23 and ONNX Runtime read external data from there alone.

    Args:
        model: A model whose weights are shared; one without external data may be anywhere.
        path: The file that shares them.
        folder: That of the exported model; None where it is in memory.

    Raises:
        HxError: HX210 if it is another folder.
    """
    if folder is not None and not any(isinstance(slot.tensor, ir.ExternalTensor) for slot in tensors_in(model)):
        return
    path = final_folder(path.parent) / path.name
    beside = path.parent.resolve()
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
