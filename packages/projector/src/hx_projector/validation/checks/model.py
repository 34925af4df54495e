"""Whether a model file is valid by itself: for the ONNX checker, and for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hx_graph import open_session
from hx_projector.validation.findings import Finding
from hx_sidecar_schema import HxError


def accepted_by_checker(path: Path) -> Iterator[Finding]:
    """Check that the ONNX checker accepts the file (V01). External weights are not read."""
    import onnx

    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, ValueError) as error:
        yield Finding.of("V01", "model", f"The ONNX checker refuses it: {_line(error)}")


def loaded_by_runtime(path: Path) -> Iterator[Finding]:
    """Check that ONNX Runtime loads the file (V02).

    Raises:
        HxError: HX209 if onnxruntime is not installed.
    """
    try:
        open_session(path, package="hx-projector")
    except HxError:
        raise
    except Exception as error:  # noqa: BLE001 ONNX Runtime's exceptions share no base class; each is a finding
        yield Finding.of("V02", "model", f"ONNX Runtime does not load it: {_line(error)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
