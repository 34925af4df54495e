"""The export through `torch.export`, watched.

The exporter's own pipeline runs, with the arguments of a plain export, so its graph is that of a plain export. Watched
are the module calls while it traces, and the graph before and after `ONNXProgram.optimize`.

Measured on torch 2.13: with gradients on, attention is decomposed into the variant of it that autograd uses, for which
there is no ONNX operator. So a refused export is tried once more under `torch.no_grad()`, with a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from hx_sidecar_schema import ModuleContext, first_line
from hx_tracer.exporting.context import UNWATCHED, assemble_context
from hx_tracer.exporting.errors import export_error, root_cause, silence_exporter
from hx_tracer.exporting.raw_graph import RawGraph
from hx_tracer.exporting.request import ExportRequest
from hx_tracer.exporting.survivors import Survivors
from hx_tracer.models.implementations import find_remedy
from hx_tracer.watch.body_values import mark_bodies
from hx_tracer.watch.calls import TracedCall
from hx_tracer.watch.fx_metadata import PORTS
from hx_tracer.watch.patches import patched
from hx_tracer.watch.preserve import preserve_state
from hx_tracer.watch.recorder import CallRecorder
from hx_tracer.watch.recursion import room_for_watching
from hx_tracer.watch.uncompiled import uncompiled


def export_dynamo(request: ExportRequest) -> tuple[torch.onnx.ONNXProgram, ModuleContext, list[str]]:
    """Export a module through `torch.export`.

    Returns:
        The program, what was seen of it, and notes: what a plain export does differently, or what was not seen.

    Raises:
        ExportError: HX120 if the exporter refuses the model.
    """
    module, calls = request.module, request.calls
    recorder = CallRecorder(module)
    optimized: list[Survivors] = []
    notes: list[str] = []

    def run() -> torch.onnx.ONNXProgram:
        with (
            silence_exporter(),
            preserve_state(module),
            uncompiled(module),
            room_for_watching(module),
            recorder.watching(),
            _watching_optimization(optimized, recorder, calls),
        ):
            return run_dynamo(request)

    def attempt() -> torch.onnx.ONNXProgram:
        before = recorder.dynamo_error
        try:
            program = run()
        except Exception:
            if recorder.dynamo_error is before:
                raise
        else:
            if recorder.dynamo_error is before:
                return program
        assert recorder.dynamo_error is not None
        reason = first_line(recorder.dynamo_error, with_type=True)
        notes.append(f"What Dynamo traced could not be watched, so its module calls are not known: {reason}")
        return run()

    try:
        program = attempt()
    except Exception as error:
        reason = first_line(root_cause(error), with_type=True)
        tried: list[str] = []

        def tell(what: str) -> None:
            tried.append(what)
            request.tell(f"Refused ({reason}); exporting {what}")

        if not request.remedies or isinstance(root_cause(error), RecursionError):
            raise export_error(error, module, {}) from error
        try:
            if not torch.is_grad_enabled() or not any(one.requires_grad for one in module.parameters()):
                raise  # it would be the same once more
            tell("without gradients")
            with torch.no_grad():
                program = attempt()
        except Exception:  # noqa: BLE001 - the plain export's own error is the one to report
            remedy = find_remedy(module, lambda: _succeeds(run), tell)
            raise export_error(error, module, remedy, tried) from error
        notes.append(f"A plain export fails ({reason}); exported under torch.no_grad() instead.")
    watched = recorder.calls is not calls
    if watched:
        _drop_trace_only_inputs(recorder.calls, calls)
    else:
        notes.append(UNWATCHED)
    return program, assemble_context(request, program, recorder, optimized[-1], watched), notes


def run_dynamo(request: ExportRequest, **options: Any) -> torch.onnx.ONNXProgram:
    """Run `torch.onnx.export(dynamo=True)` as a plain export does, with further arguments of it."""
    program = torch.onnx.export(
        request.module,
        request.exporter_args,
        kwargs=dict(request.kwargs),
        dynamo=True,
        verbose=False,
        opset_version=request.opset,
        dynamic_shapes=request.exporter_shapes,
        input_names=request.input_names,
        output_names=request.output_names,
        **options,
    )
    assert program is not None
    return program


@contextmanager
def _watching_optimization(
    optimized: list[Survivors], recorder: CallRecorder, eager_calls: list[TracedCall]
) -> Generator[None]:
    def optimize(original: Any, program: torch.onnx.ONNXProgram) -> None:
        traced = program.exported_program
        assert traced is not None
        if not any(PORTS in node.meta for node in traced.graph.nodes):
            recorder.use_eager_calls(eager_calls, traced)
        elif recorder.dynamo_error is None:
            mark_bodies(traced.graph_module)
        raw = RawGraph(program, recorder.size_calls)
        original(program)
        # Now, because torch 2.13 gives inputs and outputs the names that were asked for right after this.
        optimized.append(Survivors(raw, program.model.graph))

    with patched(torch.onnx.ONNXProgram, "optimize", optimize):
        yield


def _drop_trace_only_inputs(calls: Sequence[TracedCall], eager_calls: Sequence[TracedCall]) -> None:
    """Remove from calls the inputs that they do not have in an eager run, which does not see calls in bodies."""
    known = {call.key: call.inputs for call in eager_calls}
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
    except Exception:  # noqa: BLE001 - the exporter raises anything; the first error is the one that is reported
        return False
    return True
