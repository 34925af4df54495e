"""Writing an extracted model with its sidecar."""

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import onnx_ir as ir

from hx_graph import tensors_in, write_model
from hx_sidecar_schema import EMBEDDED, HxError, Sidecar, atomic_folder, embedded, final_folder, graph_digest


def save_model(model: ir.Model, sidecar: Sidecar, path: Path, weights: str, folder: Path | None) -> list[Path]:
    """Write a model, its data file where it has one, and its sidecar, all or nothing; see `Extraction.save` for `weights`.

    External weights lie in `folder`, the exported model's; None where that is in memory.
    """
    if weights == "share":
        check_shareable(model, path, folder)
    with atomic_folder(path.parent, "path") as staging:
        target = staging / path.name
        update: dict[str, Any] = {"file": path.name}
        initializers = sidecar.initializers
        if weights == "none":
            initializers = [row.model_copy(update={"readers": []}) for row in initializers]
        with _weights_as_inputs(model.graph) if weights == "none" else nullcontext():
            if weights == "none":
                update["graph_digest"] = graph_digest(model)
            info = sidecar.model.model_copy(update=update)
            written = sidecar.model_copy(update={"model": info, "initializers": initializers})
            with _embedded_anew(model, written):
                ir.save(model, target) if weights == "share" else write_model(model, target)
        (staging / f"{path.stem}_hierarchy.json").write_bytes(written.with_file_digest(target).to_json())
        names = [file.name for file in staging.iterdir()]
    return [path.parent / name for name in sorted(names)]


@contextmanager
def _embedded_anew(model: ir.Model, sidecar: Sidecar) -> Generator[None]:
    """Let a model that has a sidecar in its metadata have this one there for a while."""
    before = model.metadata_props.get(EMBEDDED)
    if before is not None:
        model.metadata_props[EMBEDDED] = embedded(sidecar)
    try:
        yield
    finally:
        if before is not None:
            model.metadata_props[EMBEDDED] = before


@contextmanager
def _weights_as_inputs(graph: ir.Graph) -> Generator[None]:
    """Make initializers inputs without a value for a while: a copy of the graph would take its nodes away."""
    weights = {name: (value, value.const_value) for name, value in graph.initializers.items()}
    try:
        for name, (value, _) in weights.items():
            value.const_value = None
            graph.inputs.append(graph.initializers.pop(name))
        yield
    finally:
        for name, (value, tensor) in weights.items():
            graph.inputs.remove(value)
            value.const_value = tensor
            graph.initializers[name] = value


def check_shareable(model: ir.Model, path: Path, folder: Path | None) -> None:
    """Refuse any folder but the exported model's: onnx 1.23 and ONNX Runtime read external data from there alone.

    A model without external data may be anywhere. `folder` is None where the exported model is in memory.

    Raises:
        HxError: HX210 if `path` is in another folder.
    """
    if folder is not None and not any(isinstance(slot.tensor, ir.ExternalTensor) for slot in tensors_in(model)):
        return
    path = final_folder(path.parent) / path.name
    if folder is None:
        reason = "the exported model is in memory"
        hint = "Save the exported model and open it from there, or copy the weights."
    elif path.parent.resolve() != folder.resolve():
        reason = "the data file lies in another folder"
        hint = f"Write beside the exported model, in {str(folder)!r}, or copy the weights."
    else:
        return
    raise HxError(f"Weights cannot be shared with {str(path)!r}: {reason}.", code="HX210", hint=hint)
