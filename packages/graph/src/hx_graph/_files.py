"""Reading and writing ONNX files."""

from __future__ import annotations

import stat
from contextlib import nullcontext, suppress
from pathlib import Path

import onnx
import onnx_ir as ir

from hx_graph._types import drop_map_types
from hx_graph._weights import in_memory, replaced_tensors, tensors_in
from hx_graph._well_formed import bring_into_order, check_texts, ensure_well_formed
from hx_sidecar_schema import HxError, collector_paused, finished, first_line

EXTERNAL_BYTES = 16 << 20
"""Weights beyond this size are written to a data file of their own: inside protobuf each byte is copied thrice."""


def read_model(path: Path, *, check: bool = True) -> ir.Model:
    """Read an ONNX file; external data is found but not read.

    Args:
        path: The file.
        check: Whether nodes must read what exists, and form no circle; who reads a model unchecked looks for what is wrong with it.

    Raises:
        HxError: HX202 if the file is missing or is no ONNX model, HX204 if external data is missing, cut short, no
            regular file, or outside the file's folder.
    """
    try:
        if finished(path).exists() and not path.is_file():
            raise OSError("it is no regular file")  # a FIFO would be waited for
        with collector_paused():
            model = _load(path)
        if len(model.graph) == 0 and not model.graph.outputs:
            raise ValueError("it holds no graph")
        check_texts(model)
        if check:
            ensure_well_formed(model)
        with nullcontext() if check else suppress(ValueError):  # who looks for what is wrong finds the circle too
            bring_into_order(model)
    except OSError as error:
        raise HxError(
            f"ONNX file {str(path)!r} cannot be read: {error.strerror or error}.",
            code="HX202",
            hint="Name a file that `hx export` wrote.",
        ) from error
    except Exception as error:
        # protobuf and onnx_ir raise many kinds for bytes that are no model.
        cause = _innermost(error)
        wrong = (
            "holds what onnx_ir does not read" if isinstance(cause, NotImplementedError) else "is no valid ONNX model"
        )
        raise HxError(
            f"File {str(path)!r} {wrong}: {first_line(cause).rstrip('.')}.", code="HX202", hint="Name another file."
        ) from error
    _check_external(model, path)
    return model


def _load(path: Path) -> ir.Model:
    proto = onnx.load(path, load_external_data=False)
    for graph in (proto.graph, *proto.functions):
        drop_map_types(graph)
    return ir.from_proto(proto)


def _innermost(error: BaseException) -> BaseException:
    """Return the first of the errors that led to one: onnx_ir says there what is wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def write_model(model: ir.Model, path: Path, *, data_file: bool | None = None) -> None:
    """Write a model with all its tensors: the files refer to no other files.

    Args:
        model: Not changed.
        path: The ONNX file; not replaced in one step.
        data_file: Whether weights go to `NAME.data` beside it; None for weights beyond 16 MiB.
    """
    if data_file is None:
        tensors = (value.const_value for value in model.graph.initializers.values())
        data_file = sum(tensor.nbytes for tensor in tensors if tensor is not None) > EXTERNAL_BYTES
    with replaced_tensors(model, in_memory):
        ir.save(model, path, external_data=f"{path.name}.data" if data_file else None)


def _check_external(model: ir.Model, path: Path) -> None:
    """Refuse what is no whole regular file inside the model's folder, wherever it is referred to, before it is opened."""
    folder = path.parent.resolve()
    sizes: dict[str, int] = {}
    for slot in tensors_in(model):
        tensor = slot.tensor
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        tensor.base_dir = path.parent  # onnx_ir 1.1 gives tensors in functions none, and checks nothing there
        if tensor.dtype in (ir.DataType.UNDEFINED, ir.DataType.STRING):
            raise HxError(
                f"Tensor {slot.name!r} of {str(path)!r} has no element type that may be external data.",
                code="HX202",
                hint="Name another file.",
            )
        location = str(tensor.location)
        if location not in sizes:
            sizes[location] = _size_inside(folder, location, f"External data {location!r} of {str(path)!r}")
        offset = tensor.offset or 0
        is_whole = offset >= 0 and offset + tensor.nbytes <= sizes[location] and tensor.length in (None, tensor.nbytes)
        if not is_whole:
            raise HxError(
                f"External data {location!r} of {str(path)!r} is cut short: it does not hold {slot.name!r}.",
                code="HX204",
                hint="Copy it beside the model, or export the model again.",
            )


def _size_inside(folder: Path, location: str, what: str) -> int:
    """Return the size in bytes of a data file; `what` names it in errors."""
    data = folder / location
    if "\0" in location or ".." in Path(location).parts or not data.resolve().is_relative_to(folder):
        raise HxError(
            f"{what} lies outside the model's folder.",
            code="HX204",
            hint="Put the data file itself beside the model; hx reads no other place and follows no link to one.",
        )
    try:
        info = data.stat()
    except OSError as error:
        raise HxError(
            f"{what} is missing.", code="HX204", hint="Copy it beside the model, or export the model again."
        ) from error
    if not stat.S_ISREG(info.st_mode):
        raise HxError(f"{what} is no regular file.", code="HX204", hint="Put the data file itself beside the model.")
    if info.st_nlink > 1:
        # onnx_ir 1.1 opens no file with several hard links, one of which may lie outside the folder.
        raise HxError(
            f"{what} has {info.st_nlink} names (hard links).", code="HX204", hint="Copy the file and use the copy."
        )
    return info.st_size
