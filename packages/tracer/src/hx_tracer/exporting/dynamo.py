"""The export through `torch.export`, watched.

The pipeline that runs is the exporter's own, with the arguments that a plain export has, so the graph is the one
that a plain export gives. We only look: at module calls while it traces, at the graph before its optimisation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from hx_sidecar_schema import ModuleContext
from hx_tracer.exporting.context import UNSEEN, assemble_context
from hx_tracer.exporting.errors import cause, last_line, quiet, refused
from hx_tracer.exporting.request import ExportRequest
from hx_tracer.exporting.survivors import RawGraph, Survivors
from hx_tracer.models.implementations import find_remedy
from hx_tracer.watch.body_values import stamp_bodies
from hx_tracer.watch.calls import TracedCall
from hx_tracer.watch.fx_metadata import PORTS
from hx_tracer.watch.patches import replaced
from hx_tracer.watch.preserve import unchanged
from hx_tracer.watch.recorder import CallRecorder


def export_dynamo(request: ExportRequest) -> tuple[torch.onnx.ONNXProgram, ModuleContext, list[str]]:
    """Export a module.

    Returns:
        The program, what was seen, and what was done differently than a plain export does it.

    Raises:
        ExportError: HX120 if the exporter refuses the model.
    """
    module, calls = request.module, request.calls
    recorder = CallRecorder(module)
    optimized: list[Survivors] = []
    notes: list[str] = []

    def run() -> torch.onnx.ONNXProgram:
        with (
            quiet(),
            unchanged(module),
            recorder.watching(),
            _before_optimize(optimized, recorder, calls),
        ):
            program = torch.onnx.export(
                module,
                request.exporter_args,
                kwargs=dict(request.kwargs),
                dynamo=True,
                verbose=False,
                opset_version=request.opset,
                dynamic_shapes=request.exporter_shapes,
                input_names=request.input_names,
                output_names=request.output_names,
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
            f"{last_line(recorder.body_error)}"
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
            raise refused(error, find_remedy(module, lambda: _succeeds(run))) from error
        notes.append(
            f"A plain export fails ({last_line(cause(error))}); exported under torch.no_grad() instead."
        )
    seen = recorder.calls is not calls
    if not seen:
        notes.append(UNSEEN)
    if seen:
        _drop_inputs_of_the_trace(recorder.calls, calls)
    context = assemble_context(request, program, recorder, optimized[-1], seen)
    return program, context, notes


@contextmanager
def _before_optimize(
    optimized: list[Survivors], recorder: CallRecorder, eager_calls: list[TracedCall]
) -> Generator[None]:
    def optimize(original: Any, program: torch.onnx.ONNXProgram) -> None:
        traced = program.exported_program
        assert traced is not None
        if not any(PORTS in node.meta for node in traced.graph.nodes):
            recorder.adopt(eager_calls, traced)
        elif recorder.body_error is None:
            stamp_bodies(traced.graph_module)
        raw = RawGraph(program, recorder.size_calls)
        original(program)
        optimized.append(
            Survivors(raw, program.model.graph)
        )  # torch 2.13 gives inputs and outputs other names after this

    with replaced(torch.onnx.ONNXProgram, "optimize", optimize):
        yield


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
