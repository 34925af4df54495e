"""Errors of hx for what the exporters raise."""

import sys
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from hx_sidecar_schema import HxError, UnfitInputs, first_line
from hx_tracer._torch_internals import pytree
from hx_tracer.inputs.arguments import argument_paths
from hx_tracer.models.implementations import Kind
from hx_tracer.models.silence import silence_exporter
from hx_tracer.watch.ports import forward_signature
from hx_tracer.watch.preserve import preserve_state
from hx_tracer.watch.recursion import nesting, room_for_watching
from hx_tracer.watch.uncompiled import run_eagerly, uncompiled


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


def export_error(
    error: Exception, module: torch.nn.Module, remedy: Mapping[Kind, str], tried: Sequence[str] = ()
) -> ExportError:
    """Return the error for what an exporter raised, with the remedy that it names, or what was tried in vain."""
    cause = first_line(root_cause(error), with_type=True)
    if isinstance(root_cause(error), RecursionError):
        return ExportError(
            f"torch.onnx.export refuses the model, whose modules are nested {nesting(module)} deep: {cause}",
            hint=f"Raise Python's limit, which is {sys.getrecursionlimit()}, with sys.setrecursionlimit; or nest less.",
            report="".join(traceback.format_exception(error)),
        )
    choice = " and ".join(f"{kind}={name!r}" for kind, name in remedy.items())
    return ExportError(
        f"torch.onnx.export refuses the model: {cause}",
        hint=f"Export with {choice}: that was tried, and the exporter takes it."
        if remedy
        else "Read the report for the operation and the line of the model that made it; "
        "other inputs, another opset or a static export may pass."
        + (f" Also refused: {', '.join(tried)}." if tried else ""),
        report="".join(traceback.format_exception(error)),
        remedy=remedy,
        argument=next(iter(remedy), ""),
    )


@contextmanager
def trial(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Generator[None]:
    """Let a module run on inputs and be watched, silently, in the block; raise an `HxError` for what it raises.

    HX109 if the inputs are the cause, or may be; HX129 if the module runs on them when nothing watches, or what it raised
    comes of no inputs.
    """
    try:
        with silence_exporter():
            yield
    except HxError:
        raise
    except Exception as error:
        raise _trial_error(error, module, args, kwargs) from error


def _trial_error(
    error: Exception, module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> HxError:
    shapes = ", ".join(f"{path}{list(tensor.shape)}" for path, tensor in argument_paths(module, args, kwargs))
    name, reason = type(module).__name__, first_line(error, with_type=True)
    signature = forward_signature(module)
    try:
        if signature is not None:
            signature.bind(*args, **kwargs)
    except TypeError:
        return UnfitInputs(
            f"The inputs {shapes} do not fit forward() of {name!r}: {reason}",
            hint="Give inputs that the model accepts, under the names of its parameters.",
        )
    if runs(module, args, kwargs):
        return HxError(
            f"{name!r} runs on the inputs {shapes}, but not as it is exported, without gradients and fused attention: "
            f"{reason}",
            code="HX129",
            hint="Use strategy='auto', which tries the others; or change the line of the model that raises.",
            argument="strategy",
        )
    if _is_of_no_inputs(error):
        return HxError(
            f"{name!r} does not run here, whatever the inputs: {reason}",
            code="HX129",
            hint="Make it run in PyTorch alone, in this environment, then export it.",
        )
    return UnfitInputs(
        f"forward() of {name!r} does not take the inputs {shapes}: {reason}",
        hint="Give inputs that the model accepts, or their shapes. If these are right, it does not run here in PyTorch "
        "alone either.",
        argument="input_shapes",
    )


def _is_of_no_inputs(error: Exception) -> bool:
    """Say whether what a model raised comes of where it runs, of a device that is not here, or of an attribute that it lacks."""
    if isinstance(error, AttributeError) and isinstance(error.obj, torch.nn.Module):
        return True
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, _OF_NO_INPUTS) or (bool(frames) and frames[-1] in _DEVICES)


_DEVICES = ("torch.cuda", "torch.xpu", "torch.mtia")
"""Modules of torch whose own code raises where there is no such device: AssertionError or RuntimeError."""
_OF_NO_INPUTS = (
    NotImplementedError,
    ImportError,
    NameError,
    OSError,
    MemoryError,
    RecursionError,
    torch.OutOfMemoryError,
)
"""What is missing where a model runs raises these. torch says so of an operator without a kernel: NotImplementedError."""


def runs(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether a module runs on inputs in PyTorch, with gradients as the caller has them."""
    args, kwargs = pytree.tree_map_only(torch.Tensor, torch.clone, (args, dict(kwargs)))
    try:
        with preserve_state(module), silence_exporter(), run_eagerly(module):
            module(*args, **kwargs)
    except Exception:  # noqa: BLE001 - a model raises anything; who asks reports what follows
        return False
    return True


@contextmanager
def watched_export(module: torch.nn.Module) -> Generator[None]:
    """Let an exporter run in the block without a word, on what is written; it changes nothing of a module for good."""
    with silence_exporter(), preserve_state(module), uncompiled(module), room_for_watching(module):
        yield


def root_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain of `raise ... from ...`."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
