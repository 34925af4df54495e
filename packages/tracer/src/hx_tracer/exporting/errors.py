"""Errors of hx for what the exporters raise."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from hx_sidecar_schema import HxError, UnfitInputs, first_line
from hx_tracer.inputs.arguments import argument_paths
from hx_tracer.models.implementations import Kind
from hx_tracer.models.silence import silenced


class ExportError(HxError):
    """The exporter refused the model.

    Attributes:
        report: The exporter's whole traceback, for a file.
        remedy: Implementations by kind with which the exporter takes the model, for `set_implementation`; empty if none
            is known.
    """

    code = "HX120"

    def __init__(self, message: str, *, report: str, remedy: Mapping[Kind, str] | None = None, **options: Any) -> None:
        """Make the error; `options` are those of `HxError`."""
        super().__init__(message, **options)
        self.report = report
        self.remedy = remedy or {}


def export_error(error: Exception, remedy: Mapping[Kind, str]) -> ExportError:
    """Return the error for what an exporter raised, with the remedy that it names."""
    choice = " and ".join(f"{kind}={name!r}" for kind, name in remedy.items())
    return ExportError(
        f"torch.onnx.export refuses the model: {first_line(root_cause(error), with_type=True)}",
        hint=f"Export with {choice}: that was tried, and the exporter takes it."
        if remedy
        else "Read the report for the operation and the line of the model that made it; "
        "other inputs, another opset or a static export may pass.",
        report="".join(traceback.format_exception(error)),
        remedy=remedy,
        argument=next(iter(remedy), ""),
    )


def unfit_inputs(
    error: Exception, module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> UnfitInputs:
    """Return the error for inputs on which a module's `forward` raised `error`."""
    tensors = argument_paths(module, args, kwargs)
    shapes = ", ".join(f"{path}{list(tensor.shape)}" for path, tensor in tensors)
    return UnfitInputs(
        f"The inputs {shapes} do not fit forward() of {type(module).__name__!r}: {first_line(error, with_type=True)}",
        hint="Give inputs that the model accepts, or their shapes.",
        argument="input_shapes",
    )


def root_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain of `raise ... from ...`."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def silence_exporter() -> AbstractContextManager[None]:
    """Suppress warnings, and log lines of the exporters below errors, while the block runs."""
    return silenced("torch.onnx", "onnxscript", "onnx_ir", "torch.fx", level=logging.ERROR)
