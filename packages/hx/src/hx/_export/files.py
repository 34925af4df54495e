"""The files of an export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hx.files import check_writable, onnx_path, sidecar_path
from hx_sidecar_schema import refuse_existing

if TYPE_CHECKING:
    import onnx_ir as ir

EXTERNAL_DATA_BYTES = 100 * 2**20
"""Weights beyond this go to NAME.onnx.data: a graph of a few megabytes opens at once everywhere."""


def settled(path: str | Path, argument: str, *, keep_context: bool, overwrite: bool) -> Path:
    """Return the path of the model, before any work; `argument` is that of the caller that names it.

    Raises:
        HxError: HX402 if a file of the export exists, HX306 if it cannot be written, HX406 if it is no .onnx file.
    """
    target = onnx_path(Path(path), argument)
    context = [context_path(target)] if keep_context else []
    refuse_existing([target, data_path(target), sidecar_path(target), *context], overwrite=overwrite)
    check_writable(target.parent, argument)
    return target


def data_path(model: Path) -> Path:
    """Return where large weights of a model lie."""
    return model.with_name(f"{model.name}.data")


def context_path(model: Path) -> Path:
    """Return where lies what was seen during an export."""
    return model.with_name(f"{model.stem}_context.json")


def has_data_file(model: ir.Model) -> bool:
    """Say whether the weights of a model go to a file of their own."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None) > EXTERNAL_DATA_BYTES
