"""Reading ONNX files."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from hx_sidecar_schema import HxError, collector_paused, first_line


def read_model(path: Path) -> ir.Model:
    """Read an ONNX file; external weights are found but not read.

    Raises:
        HxError: HX202 if the file is missing or is no ONNX model, HX204 if external data is missing, cut short or
            outside the file's folder.
    """
    try:
        with collector_paused():
            model = ir.load(path)
        if len(model.graph) == 0 and not model.graph.outputs:
            raise ValueError("it holds no graph")
    except OSError as error:
        raise HxError(
            f"ONNX file {str(path)!r} cannot be read: {error.strerror or error}.",
            code="HX202",
            hint="Name a file that `hx export` wrote.",
        ) from error
    except Exception as error:
        # protobuf and onnx_ir raise many kinds for bytes that are no model.
        cause: BaseException = error
        while cause.__cause__ is not None:  # onnx_ir says what is wrong in the innermost
            cause = cause.__cause__
        raise HxError(
            f"File {str(path)!r} is no ONNX model: {first_line(cause).rstrip('.')}.",
            code="HX202",
            hint="Name a file that `hx export` wrote.",
        ) from error
    _check_external(model, path)
    return model


def _check_external(model: ir.Model, path: Path) -> None:
    sizes: dict[Path, int] = {}
    folder = path.parent.resolve()
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        location = Path(tensor.location)
        if location.is_absolute() or ".." in location.parts:
            raise HxError(
                f"Weight {value.name!r} of {str(path)!r} lies in {str(location)!r}, outside the model's folder.",
                code="HX204",
                hint="Put the data file beside the model; hx reads no other place.",
            )
        data = folder / location
        if data not in sizes:
            sizes[data] = data.stat().st_size if data.is_file() else -1
        if sizes[data] < (tensor.offset or 0) + tensor.nbytes:
            state = "is missing" if sizes[data] < 0 else "is cut short"
            raise HxError(
                f"External data {str(location)!r} of {str(path)!r} {state}.",
                code="HX204",
                hint="Copy it beside the model, or export the model again.",
            )
