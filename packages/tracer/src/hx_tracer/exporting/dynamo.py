"""The export through `torch.export`, watched.

The exporter's own pipeline runs, with the arguments of a plain export, so its graph is that of a plain export. Watched
are the module calls while it traces, and the graph before and after `ONNXProgram.optimize`.

Measured on torch 2.13: with gradients on, attention is decomposed into the variant of it that autograd uses, for which
there is no ONNX operator. So a refused export is tried once more under `torch.no_grad()`, with a note.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import onnx_ir as ir
import torch

from hx_sidecar_schema import HxError, first_line
from hx_tracer._torch_internals import DIMS_FROM_STRINGS, declared_signature
from hx_tracer.exporting.context import UNWATCHED, assemble_context
from hx_tracer.exporting.errors import export_error, root_cause, watched_export
from hx_tracer.exporting.raw_graph import RawGraph
from hx_tracer.exporting.request import ExportRequest, Watched
from hx_tracer.exporting.survivors import Replacements, Survivors
from hx_tracer.models.implementations import find_remedy
from hx_tracer.watch.body_values import mark_bodies
from hx_tracer.watch.calls import PyTorchRun, TracedCall
from hx_tracer.watch.fx_metadata import PORTS
from hx_tracer.watch.patches import own_attribute, patched
from hx_tracer.watch.recorder import CallRecorder


def export_dynamo(request: ExportRequest, pytorch: Callable[[], PyTorchRun]) -> Watched:
    """Export a module through `torch.export`; `pytorch` runs it in PyTorch, when first called.

    Raises:
        ExportError: HX120 if the exporter refuses the model.
        HxError: HX109 or HX129 if the module does not run in PyTorch either.
    """
    module = request.module
    recorder = CallRecorder(module)
    optimized: list[Survivors] = []
    notes: list[str] = []

    def run() -> torch.onnx.ONNXProgram:
        optimization = _watching_optimization(optimized, recorder, pytorch)
        with watched_export(module), recorder.watching(), optimization:
            return run_dynamo(request)

    def attempt() -> torch.onnx.ONNXProgram:
        before = recorder.dynamo_error
        try:
            program = run()
            if recorder.dynamo_error is before:
                return program
        except Exception:
            if recorder.dynamo_error is before:
                raise
        assert recorder.dynamo_error is not None
        reason = first_line(recorder.dynamo_error, with_type=True)
        notes.append(f"What Dynamo traced could not be watched, so its module calls are not known: {reason}")
        return run()

    try:
        program = attempt()
    except Exception as error:
        pytorch()  # whose error is the one to report: inputs that do not fit
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
            remedy = find_remedy(module, run, tell, reason) if request.search else {}
            raise export_error(error, module, remedy, tried) from error
        notes.append(f"A plain export fails ({reason}); exported under torch.no_grad() instead.")
    if recorder.watched:
        with suppress(HxError):  # that it does not run in PyTorch is told by the caller
            _take_arguments(recorder.calls, pytorch().calls)
    else:
        notes.append(UNWATCHED)
    return program, assemble_context(request, program, recorder, optimized[-1]), notes


def run_dynamo(request: ExportRequest, **options: Any) -> torch.onnx.ONNXProgram:
    """Run `torch.onnx.export(dynamo=True)` as a plain export does, with further arguments of it."""
    unread = patched(*DIMS_FROM_STRINGS, _no_strings) if request.axes else nullcontext()
    with _keywords_named(request), unread:
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
    _name_axes(program, request)
    return program


def _no_strings(_: object, shapes: Any) -> tuple[Any, bool]:
    return shapes, True


def _keywords_named(request: ExportRequest) -> AbstractContextManager[None]:
    """Let `forward` name what its `**kwargs` takes while the block runs, if axes of it shall be dynamic.

    torch 2.13 refuses these otherwise: it binds them to `kwargs` before the trace, and to their own names too after it.
    """
    forward = request.module.forward
    try:  # as torch reads it: what torch.compile(module) returns takes anything, whatever the module takes
        signature = declared_signature(request.module) or inspect.signature(forward)
    except (TypeError, ValueError):
        return nullcontext()
    known = signature.parameters
    named = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in request.kwargs if name not in known]
    if not named or not request.axes:
        return nullcontext()

    def naming(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    others = [p for p in known.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    naming.__signature__ = signature.replace(parameters=[*others, *named])  # pyright: ignore[reportFunctionMemberAccess]
    return own_attribute(request.module, "forward", naming)


def _name_axes(program: torch.onnx.ONNXProgram, request: ExportRequest) -> None:
    """Give axes their symbols where torch 2.13 does not: it counts arguments, of which some are no inputs."""
    inputs = program.model.graph.inputs
    if not request.axes or len(request.tensors) != len(inputs):
        return
    symbols = {symbol for axes in request.axes.values() for symbol in axes.values()}
    renamed: dict[str | ir.SymbolicDim, str] = {}
    for value, (path, _) in zip(inputs, request.tensors, strict=True):
        for axis, symbol in request.axes.get(path, {}).items():
            dim = value.shape and value.shape[axis]
            if isinstance(dim, ir.SymbolicDim) and dim.value not in (None, *symbols):
                renamed.setdefault(str(dim.value), symbol)
    program.rename_axes(renamed)


def _watching_optimization(
    optimized: list[Survivors], recorder: CallRecorder, pytorch: Callable[[], PyTorchRun]
) -> AbstractContextManager[None]:
    def optimize(original: Any, program: torch.onnx.ONNXProgram) -> None:
        traced = program.exported_program
        assert traced is not None
        if not any(PORTS in node.meta for node in traced.graph.nodes):
            recorder.use_eager_calls(pytorch().calls, traced)
        elif recorder.dynamo_error is None:
            mark_bodies(traced.graph_module)
        raw, replacements = RawGraph(program, recorder.size_calls), Replacements()
        with replacements.watching():
            original(program)
        # Now, because torch 2.13 gives inputs and outputs the names that were asked for right after this.
        optimized.append(Survivors(raw, program.model.graph, replacements))

    return patched(torch.onnx.ONNXProgram, "optimize", optimize)


def _take_arguments(calls: Sequence[TracedCall], eager_calls: Sequence[TracedCall]) -> None:
    """Give calls the arguments that they have in an eager run, which does not see calls in bodies.

    Of a module that an eager run calls more or less often, it is not known which call is which.
    """
    known = {call.key: call for call in eager_calls}
    seen = [call for call in calls if not call.in_body]
    often, traced = Counter(call.fqn for call in eager_calls), Counter(call.fqn for call in seen)
    counts: Counter[str] = Counter()
    for call in (call for call in seen if often[call.fqn] == traced[call.fqn]):
        eager = known.get((call.fqn, counts[call.fqn]))
        counts[call.fqn] += 1
        if eager is not None:
            call.inputs = {name: like for name, like in call.inputs.items() if name in eager.inputs}
            call.constants = eager.constants
