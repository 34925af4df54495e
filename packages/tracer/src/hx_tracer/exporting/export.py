"""The export: a plain `torch.onnx.export` with the exporter of a strategy, while its module calls are recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Unpack

import torch

from hx_sidecar_schema import (
    STRATEGIES,
    HxError,
    ModuleContext,
    Observation,
    Provenance,
    Strategy,
    UnfitInputs,
    fewer_collections,
    first_line,
)
from hx_tracer._torch_internals import pytree
from hx_tracer.exporting.context import package_versions
from hx_tracer.exporting.dynamo import export_dynamo, run_dynamo
from hx_tracer.exporting.errors import ExportError, export_error, trial, watched_export
from hx_tracer.exporting.request import ExportOptions, ExportRequest, Watched
from hx_tracer.exporting.torchscript import export_torchscript
from hx_tracer.inputs.arguments import Arguments
from hx_tracer.models.implementations import find_remedy
from hx_tracer.models.silence import silence_exporter
from hx_tracer.watch.calls import EagerRun, PyTorchRun, TracedCall, disable_fused_attention
from hx_tracer.watch.operations import observe
from hx_tracer.watch.ports import output_ports
from hx_tracer.watch.preserve import preserve_state
from hx_tracer.watch.symbolic import observe_symbolically
from hx_tracer.watch.uncompiled import initialize_lazy, set_eval_mode

EXPORTERS: dict[str, Callable[[ExportRequest, Callable[[], PyTorchRun]], Watched]] = {
    "dynamo": export_dynamo,
    "torchscript": export_torchscript,
}


def _run(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> PyTorchRun:
    run = EagerRun(module)
    return PyTorchRun(run.run(args, kwargs), run.calls)


OBSERVERS: dict[str | None, Callable[..., PyTorchRun]] = {
    None: _run,
    "eager": observe,
    "symbolic": observe_symbolically,
}

_TRAINING = {
    "dynamo": "The module is in training mode and is exported so, as torch.onnx.export does: dropout and batch statistics are part of the graph.",
    "torchscript": "The module is in training mode; torch.onnx.export(dynamo=False) exports it in eval mode.",
}
"""What torch 2.13 does with a module in training mode, by exporter."""


@dataclass(frozen=True)
class Exported:
    """An exported model in memory; weights are the module's own tensors, not copied."""

    program: torch.onnx.ONNXProgram
    context: ModuleContext
    result: Any
    """What the module itself returned for the example inputs; None where it does not run."""
    inputs: dict[str, torch.Tensor]
    """The example inputs by their names in the graph; empty where the graph has an input that is none of them."""
    static_axes: list[str] = field(default_factory=list)
    """Axes that were asked to be dynamic, `Dim.AUTO` included, and that the model itself fixes, as `PATH:AXIS`."""
    notes: list[str] = field(default_factory=list)
    """What differs from a plain export, or was not seen, and why."""
    failure: str = ""
    """Why the module does not run in PyTorch; empty where it does."""
    arguments: Arguments = ((), {})
    """The example inputs as the module took them."""


@fewer_collections
def export(
    module: torch.nn.Module,
    kwargs: Mapping[str, Any],
    *,
    strategy: Strategy = STRATEGIES["dynamo"],
    **options: Unpack[ExportOptions],
) -> Exported:
    """Export a module with exactly the graph of a plain export, and record its calls.

    The exporter runs first: whatever a run in PyTorch may leave in a module, or where nobody can look, is not in the graph.

    Args:
        module: Exported in the mode that it is in, as `torch.onnx.export` does. Its training flags, buffers and
            attributes are as before afterwards.
        kwargs: Example inputs by the names of `forward`; tensors may be nested.
        strategy: The exporter, and how a run in PyTorch is observed for it.
        options: Further fields of `ExportRequest`.

    Raises:
        ExportError: HX120 if the exporter refuses the model.
        HxError: HX109 if the inputs do not fit `forward`, HX129 if the model does not run for another reason, HX112 if
            both `axes` and `dynamic_shapes` are given.
    """
    request = ExportRequest(module, kwargs, **options)
    longer = request.lengthened() if request.axes_of_one else None
    if longer is None:
        return _export(request, strategy)
    names = ", ".join(request.axes_of_one)
    if request.remedies and request.axes:
        return _export_longer(request, longer, names, strategy)
    exported = _export(request, strategy)
    fixed = not {*exported.static_axes}.isdisjoint(request.axes_of_one)
    advice = f"An example of size 1 may be what fixes {names}: give one of size 2 or more."
    return replace(exported, notes=[*exported.notes, advice]) if fixed else exported


def _export_longer(request: ExportRequest, longer: ExportRequest, names: str, strategy: Strategy) -> Exported:
    """Export a request; where it is refused, or axes are fixed whose examples have size 1, the one with longer examples."""
    exported = refusal = None
    try:
        exported = _export(replace(request, remedies=False), strategy)
    except ExportError as error:
        refusal = error
    if exported is not None and {*exported.static_axes}.isdisjoint(request.axes_of_one):
        return exported
    request.tell(f"{'Fixed' if exported else 'Refused'}; exporting with examples of size 2 in {names}")
    try:
        other = _export(longer, strategy)
    except HxError as error:
        if exported is not None:
            return exported
        if refusal is not None and error.message == refusal.message:
            raise
        return _export(request, strategy)  # with what may help besides
    if exported is not None and len(other.static_axes) >= len(exported.static_axes):
        return exported
    note = f"The example was repeated to size 2 in {names}: of size 1, the exporter takes it for fixed."
    return replace(other, notes=[note, *other.notes])


def _export(request: ExportRequest, strategy: Strategy) -> Exported:
    module, args, kwargs = request.module, request.args, request.kwargs
    with trial(module, args, kwargs):
        lazy = initialize_lazy(module, args, kwargs)
    asked: list[bool] = []

    @cache
    def run() -> PyTorchRun:
        with preserve_state(module), disable_fused_attention(asked), trial(module, args, kwargs):
            if strategy.exporter == "torchscript":  # as torch 2.13's traces every module, whatever its mode
                set_eval_mode(module)
            done = OBSERVERS[strategy.observer](module, args, kwargs)
            # A model may return what it keeps, and what is put back with it.
            return done._replace(result=pytree.tree_map_only(torch.Tensor, torch.clone, done.result))

    program, context, notes = EXPORTERS[strategy.exporter](request, run)
    ran, failure = PyTorchRun(None, []), ""
    try:
        ran = run()
    except HxError as error:
        if strategy.observer:
            raise
        failure = f"the module does not run in PyTorch: {error.message}"
        notes = [*notes, f"Nothing is compared, and what its modules take is as traced: {failure}"]
    generator = Provenance(
        versions=package_versions(),
        strategy=strategy.name,
        exporter=f"torch.onnx.export(dynamo={strategy.exporter == 'dynamo'})",
    )
    context = context.model_copy(
        update={
            "generator": generator,
            "observation": ran.observation and _with_context_rows(ran.observation, ran.calls, context),
        }
    )
    if lazy:
        notes = [f"A run made {', '.join(lazy)}, with random numbers: the model was not initialised.", *notes]
    if any(asked):
        notes = [*_fused_attention(module, args, kwargs, ran.result), *notes]
    written = program.model.opset_imports.get("")
    if request.opset not in (None, written):  # torch 2.13 logs it, and a log is not shown while it exports
        notes = [f"The model has opset {written}: the exporter could not write it in {request.opset}.", *notes]
    if getattr(module, "training", False):  # a frozen ScriptModule has no mode
        notes = [_TRAINING[strategy.exporter], *notes]
    values = {str(value.name): value for value in program.model.graph.inputs}
    given = list(values) if len(values) == len(request.tensors) else list(context.examples)  # without unused inputs
    known = dict(zip(given, request.tensors, strict=True)) if len(given) == len(request.tensors) else {}
    inputs = {name: known[name][1] for name in values} if known.keys() >= values.keys() else {}
    static: list[str] = []
    for name, (path, _) in known.items():
        if name in values and (shape := values[name].shape) is not None:
            static += [f"{path}:{axis}" for axis in request.asked_axes.get(path, ()) if isinstance(shape[axis], int)]
    return Exported(program, context, ran.result, inputs, static, notes, failure, (args, dict(kwargs)))


def _fused_attention(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
) -> list[str]:
    """Return a note if the kernel that PyTorch runs without gradients gives other values than the modules."""
    try:
        with preserve_state(module), silence_exporter():
            other = EagerRun(module).run(args, kwargs)
    except Exception as error:  # noqa: BLE001 - whatever the kernel raises is in the note
        return [f"PyTorch's fused attention does not run on these inputs: {first_line(error, with_type=True)}"]
    pairs = zip(output_ports(result, ()), output_ports(other, ()), strict=True)
    differ = [
        name
        for (name, one), (_, fused) in pairs
        if one.shape != fused.shape or not torch.allclose(one, fused, 1e-3, 1e-3 * float(one.abs().amax()))
    ]
    note = (
        f"In eval mode without gradients PyTorch runs fused attention, which gives other values in {differ!r}, as zeros where "
        "padding is masked; the graph computes what the modules do, and is compared with that."
    )
    return [note] if differ else []


def export_with_first(
    strategies: Sequence[Strategy], module: torch.nn.Module, kwargs: Mapping[str, Any], **options: Unpack[ExportOptions]
) -> tuple[Exported, Strategy]:
    """Export a module with the first strategy that takes it.

    Args:
        strategies: In the order in which they are tried.
        module: As for `export`.
        kwargs: Example inputs by the names of `forward`.
        options: Further arguments of `export`.

    Returns:
        The export, its notes saying which strategies did not take the model and why, and the one that did.

    Raises:
        ExportError: HX120 as the only strategy has it.
        HxError: HX109 if the inputs fit `forward` with no strategy; HX125 if none of several takes the model, with the reasons.
    """
    refusals: dict[str, HxError] = {}
    for strategy in strategies:
        if refusals:
            options.get("tell", str)(f"Refused; exporting with strategy {strategy.name}")
        try:
            search = options.get("search", True) and len(strategies) == 1  # the next one may take it
            exported = export(module, kwargs, **{**options, "search": search}, strategy=strategy)
        except HxError as error:
            if len(strategies) == 1:
                raise
            refusals[strategy.name] = error
        else:
            skipped = [f"Strategy {name} was skipped: {error.message}" for name, error in refusals.items()]
            return replace(exported, notes=[*skipped, *exported.notes]), strategy
    first = next(iter(refusals.values()))
    unfit = isinstance(first, UnfitInputs) and all(isinstance(error, UnfitInputs) for error in refusals.values())
    if unfit or len({error.message for error in refusals.values()}) == 1:  # one cause, told once
        raise first
    request = ExportRequest(module, kwargs, **options)
    if request.remedies and strategies[0].exporter == "dynamo" and isinstance(first, ExportError):
        with watched_export(module):
            remedy = find_remedy(module, lambda: run_dynamo(request), request.tell, first.message)
        first = export_error(first, module, remedy) if remedy else first
    raise ExportError(
        "No strategy takes the model. " + " ".join(f"{name}: {e.message}" for name, e in refusals.items()),
        code="HX125",
        hint=first.hint,
        remedy=first.remedy if isinstance(first, ExportError) else None,
        report="\n\n".join(
            f"{name}\n\n{error.report if isinstance(error, ExportError) else error.message}"
            for name, error in refusals.items()
        ),
    )


def _with_context_rows(observation: Observation, calls: Sequence[TracedCall], context: ModuleContext) -> Observation:
    """Return an observation with its calls as rows of the context's calls instead of rows of `calls`.

    A call that the context does not have is replaced by the nearest one around it that it has.
    """
    known = {(context.modules[call.module].fqn, call.index): row for row, call in enumerate(context.calls)}
    rows: list[int] = []
    for call in calls:
        rows.append(known.get(call.key, 0 if call.parent is None else rows[call.parent]))
    operations = [
        operation.model_copy(
            update={
                "call": None if operation.call is None else rows[operation.call],
                "sized": [rows[call] for call in operation.sized],
                "repeated": [rows[call] for call in operation.repeated],
            }
        )
        for operation in observation.operations
    ]
    ports = [
        port.model_copy(update={"call": rows[port.call]}) for port in observation.ports if calls[port.call].key in known
    ]
    return observation.model_copy(update={"operations": operations, "ports": ports})
