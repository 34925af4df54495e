"""What the exporters say when they refuse a model, as errors of hx."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from hx_sidecar_schema import HxError, UnfitInputs
from hx_tracer.inputs.dynamic_axes import input_paths
from hx_tracer.models.implementations import Kind


class ExportError(HxError):
    """The exporter refused the model.

    Attributes:
        report: The exporter's whole story, for a file.
        remedy: Implementations by kind with which it takes the model, for `set_implementation`; empty if none is known.
    """

    def __init__(
        self, message: str, *, code: str, hint: str, report: str, remedy: Mapping[Kind, str] | None = None
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.report = report
        self.remedy = remedy or {}


def refused(error: Exception, remedy: Mapping[Kind, str]) -> ExportError:
    """Return the error for an exporter's own.

    Args:
        error: What the exporter raised.
        remedy: Implementations by kind with which it takes the model.
    """
    flags = " ".join(f"--{kind} {name}" for kind, name in remedy.items())
    return ExportError(
        f"torch.onnx.export refuses the model: {last_line(cause(error))}",
        code="HX120",
        hint=f"Export with {flags}: that was tried, and the exporter takes it."
        if flags
        else "Read the report for the operation and the line of the model that made it; "
        "other inputs, another --opset or a static export may pass.",
        report="".join(traceback.format_exception(error)),
        remedy=remedy,
    )


def unfit(error: Exception, module: torch.nn.Module, kwargs: Mapping[str, Any]) -> HxError:
    """Return the error for inputs that `forward` does not take."""
    shapes = ", ".join(f"{path}{list(tensor.shape)}" for path, tensor in input_paths(kwargs))
    return UnfitInputs(
        f"The inputs {shapes} do not fit forward() of {type(module).__name__!r}: {last_line(error)}",
        hint="Give inputs that the model accepts, with --input-shape NAME=2,16 or --inputs FILE.",
    )


def cause(error: BaseException) -> BaseException:
    """Return the first error of a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def last_line(error: BaseException) -> str:
    """Return an error's type and what it says first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text}"[:300]


@contextmanager
def quiet() -> Generator[None]:
    """Keep the exporter's own warnings and log lines off the user's terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
