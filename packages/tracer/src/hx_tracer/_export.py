"""The export: plain `torch.onnx.export`, watched.

The pipeline that runs is the exporter's own, with the arguments that a plain export has, so the graph is the one
that a plain export gives. We only look: at module calls while it traces, at the graph before its optimisation.
"""

from __future__ import annotations

import logging
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Generator as Yields
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from hx_sidecar_schema import HxError, ModuleContext, TorchNN
from hx_tracer._assemble import UNSEEN, assemble_context
from hx_tracer._body_values import stamp_bodies
from hx_tracer._calls import TracedCall, run_eagerly
from hx_tracer._dynamic import Axes, dynamic_shapes, input_paths
from hx_tracer._implementations import Kind, find_remedy
from hx_tracer._lineage import RawGraph
from hx_tracer._recorder import CallRecorder
from hx_tracer._stamps import PORTS
from hx_tracer._unchanged import unchanged


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


@dataclass(frozen=True)
class Exported:
    """An exported model in memory; weights are the module's own tensors, not copied."""

    program: torch.onnx.ONNXProgram
    context: ModuleContext
    result: Any
    """What the module itself returned for the example inputs."""
    static_axes: list[str] = field(default_factory=list)
    """Axes that were asked to be dynamic and that the model itself fixes, as `NAME:AXIS`."""
    notes: list[str] = field(default_factory=list)
    """What was done differently than a plain export does it, and why."""


def export(
    module: torch.nn.Module,
    kwargs: Mapping[str, Any],
    *,
    args: tuple[Any, ...] = (),
    axes: Mapping[str, Axes] | None = None,
    opset: int | None = None,
    torch_nn: TorchNN = "default",
) -> Exported:
    """Export a module with exactly the graph of a plain export, and what was seen on the way.

    Args:
        module: In eval mode.
        kwargs: Example inputs by the names of `forward`; tensors may be nested.
        args: Values for a `forward` with variable positional arguments.
        axes: Dynamic axes and their symbols by input path; none means static.
        opset: ONNX opset version; None is the exporter's default.
        torch_nn: Which `torch.nn` classes give tags of their own.

    Raises:
        ExportError: HX120 if the exporter refuses the model.
        HxError: HX109 if the inputs do not fit `forward`.
    """
    axes = axes or {}
    with unchanged(module):
        try:
            with _quiet():
                result, eager_calls = run_eagerly(module, args, kwargs)
        except Exception as error:
            raise _unfit(error, module, kwargs) from error
    recorder = CallRecorder(module)
    raw: list[RawGraph] = []
    notes: list[str] = []

    def run() -> torch.onnx.ONNXProgram:
        with (
            _quiet(),
            unchanged(module),
            recorder.watching(),
            _before_optimize(raw, recorder, eager_calls),
        ):
            program = torch.onnx.export(
                module,
                args,
                kwargs=dict(kwargs),
                dynamo=True,
                verbose=False,
                opset_version=opset,
                dynamic_shapes=dynamic_shapes(kwargs, axes),
            )
        assert program is not None
        return program

    def attempt() -> torch.onnx.ONNXProgram:
        before = recorder.body_error
        try:
            program = run()
        except Exception:
            if recorder.body_error is before:
                raise
        else:
            if recorder.body_error is before:
                return program
        assert recorder.body_error is not None
        notes.append(
            "What Dynamo traced could not be watched, so its module calls are not known: "
            f"{_last_line(recorder.body_error)}"
        )
        return run()

    try:
        program = attempt()
    except Exception as error:  # noqa: BLE001 - whatever the exporter raises, its whole story is reported
        # torch 2.13 decomposes attention into autograd's variant of it where gradients are on, and finds no ONNX
        # operator for that one.
        try:
            with torch.no_grad():
                program = attempt()
        except Exception:  # noqa: BLE001 - the plain export's own error is the one to report
            raise _refused(error, find_remedy(module, lambda: _succeeds(run))) from error
        notes.append(
            f"A plain export fails ({_last_line(_cause(error))}); exported under torch.no_grad() instead."
        )
    seen = recorder.calls is not eager_calls
    if not seen:
        notes.append(UNSEEN)
    if seen:
        _drop_inputs_of_the_trace(recorder.calls, eager_calls)
    context = assemble_context(module, kwargs, program, recorder, raw[-1], torch_nn, seen)
    return Exported(program, context, result, _fixed_axes(program, axes), notes)


def _fixed_axes(program: torch.onnx.ONNXProgram, axes: Mapping[str, Axes]) -> list[str]:
    inputs = {value.name: value for value in program.model.graph.inputs}
    fixed: list[str] = []
    for path, named in axes.items():
        value = inputs.get(path) or inputs.get(path.replace(".", "_"))
        if value is None or value.shape is None:
            continue
        fixed += [f"{path}:{axis}" for axis in named if isinstance(value.shape[axis], int)]
    return fixed


@contextmanager
def _before_optimize(
    raw: list[RawGraph], recorder: CallRecorder, eager_calls: list[TracedCall]
) -> Yields[None]:
    optimize = torch.onnx.ONNXProgram.optimize

    def watched(program: torch.onnx.ONNXProgram) -> None:
        traced = program.exported_program
        assert traced is not None
        if not any(PORTS in node.meta for node in traced.graph.nodes):
            recorder.adopt(eager_calls, traced)
        elif recorder.body_error is None:
            stamp_bodies(traced.graph_module)
        raw.append(RawGraph(program, recorder.size_calls))
        optimize(program)

    torch.onnx.ONNXProgram.optimize = watched  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.onnx.ONNXProgram.optimize = optimize


@contextmanager
def _quiet() -> Yields[None]:
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


def _unfit(error: Exception, module: torch.nn.Module, kwargs: Mapping[str, Any]) -> HxError:
    shapes = ", ".join(f"{path}{list(tensor.shape)}" for path, tensor in input_paths(kwargs))
    return HxError(
        f"The inputs {shapes} do not fit forward() of {type(module).__name__!r}: {_last_line(error)}",
        code="HX109",
        hint="Give inputs that the model accepts, with --input-shape NAME=2,16 or --inputs FILE.",
    )


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _drop_inputs_of_the_trace(calls: Sequence[TracedCall], eager_calls: Sequence[TracedCall]) -> None:
    """Take from calls the inputs that PyTorch does not pass. Of calls in compiled bodies it says nothing."""
    known = {(call.fqn, call.index): call.inputs for call in eager_calls}
    counts: Counter[str] = Counter()
    for call in calls:
        if call.in_body:
            continue
        inputs = known.get((call.fqn, counts[call.fqn]))
        counts[call.fqn] += 1
        if inputs is not None:
            call.inputs = {name: like for name, like in call.inputs.items() if name in inputs}


def _succeeds(run: Callable[[], object]) -> bool:
    try:
        with torch.no_grad():
            run()
    except Exception:  # noqa: BLE001 - the exporter raises anything; the first error is reported, not this one
        return False
    return True


def _refused(error: Exception, remedy: Mapping[Kind, str]) -> ExportError:
    flags = " ".join(f"--{kind} {name}" for kind, name in remedy.items())
    return ExportError(
        f"torch.onnx.export refuses the model: {_last_line(_cause(error))}",
        code="HX120",
        hint=f"Export with {flags}: that was tried, and the exporter takes it."
        if flags
        else "Read the report for the operation and the line of the model that made it; "
        "other inputs, another --opset or a static export may pass.",
        report="".join(traceback.format_exception(error)),
        remedy=remedy,
    )


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text}"[:300]
