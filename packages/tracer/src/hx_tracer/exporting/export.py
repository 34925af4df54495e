"""The export: a plain `torch.onnx.export`, watched, with the exporter that the strategy names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from hx_sidecar_schema import (
    STRATEGIES,
    HxError,
    ModuleContext,
    Observation,
    Provenance,
    Strategy,
    TorchNN,
    UnfitInputs,
)
from hx_tracer.exporting.context import versions
from hx_tracer.exporting.dynamo import export_dynamo
from hx_tracer.exporting.errors import ExportError, quiet, unfit
from hx_tracer.exporting.request import ExportRequest
from hx_tracer.exporting.torchscript import export_torchscript
from hx_tracer.inputs.dynamic_axes import Axes, argument_paths
from hx_tracer.watch.calls import EagerRun, TracedCall
from hx_tracer.watch.operations import observe
from hx_tracer.watch.preserve import unchanged
from hx_tracer.watch.symbolic import observe_symbolically

EXPORTERS: dict[str, Callable[[ExportRequest], tuple[torch.onnx.ONNXProgram, ModuleContext, list[str]]]] = {
    "dynamo": export_dynamo,
    "torchscript": export_torchscript,
}


def _run(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, list[TracedCall], None]:
    run = EagerRun(module)
    return run.run(args, kwargs), run.calls, None


OBSERVERS: dict[str | None, Callable[..., tuple[Any, list[TracedCall], Observation | None]]] = {
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
    """What the module itself returned for the example inputs."""
    inputs: dict[str, torch.Tensor]
    """The example inputs by their names in the graph; empty where it has other ones than the module was given."""
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
    dynamic_shapes: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset: int | None = None,
    torch_nn: TorchNN = "default",
    strategy: Strategy = STRATEGIES["dynamo"],
) -> Exported:
    """Export a module with exactly the graph of a plain export, and what was seen on the way.

    Args:
        module: In the mode in which it shall run; its training flags, buffers and attributes are then as before.
        kwargs: Example inputs by the names of `forward`; tensors may be nested.
        args: Values for a `forward` with variable positional arguments.
        axes: Dynamic axes and their symbols by input path; none means static.
        dynamic_shapes: Instead of `axes`, as `torch.onnx.export` takes it. TorchScript takes a name for each axis; those
            of `Dim.AUTO` and `Dim.DYNAMIC` are dynamic there if the model runs with that one axis longer.
        input_names: Of the graph's first inputs, instead of those that come of the arguments' names.
        output_names: Of the graph's first outputs.
        opset: ONNX opset version; None is the exporter's default.
        torch_nn: Which `torch.nn` classes give tags of their own.
        strategy: The exporter, and how a run in PyTorch is observed for it.

    Raises:
        ExportError: HX120 if the exporter refuses the model.
        HxError: HX109 if the inputs do not fit `forward`, HX112 if both `axes` and `dynamic_shapes` are given.
    """
    request = ExportRequest(
        module, args, kwargs, axes, dynamic_shapes, input_names, output_names, opset, torch_nn
    )
    with unchanged(module):
        if (
            strategy.exporter == "torchscript"
        ):  # which traces every module in eval mode, and then sets it back
            module.eval()
        try:
            with quiet():
                result, calls, observation = OBSERVERS[strategy.observer](module, args, kwargs)
        except HxError:
            raise
        except Exception as error:
            raise unfit(error, module, kwargs) from error
    request = replace(request, result=result, calls=calls)
    program, context, notes = EXPORTERS[strategy.exporter](request)
    generator = Provenance(
        versions=versions(),
        strategy=strategy.name,
        exporter=f"torch.onnx.export(dynamo={strategy.exporter == 'dynamo'})",
    )
    context = context.model_copy(
        update={"generator": generator, "observation": observation and _of_calls(observation, calls, context)}
    )
    if module.training:
        notes = [_TRAINING[strategy.exporter], *notes]
    paths = argument_paths(module, args, kwargs)
    names = [str(value.name) for value in program.model.graph.inputs]
    given = names if len(names) == len(paths) else list(context.examples)  # TorchScript drops unused inputs
    known = dict(zip(given, paths, strict=True)) if len(given) == len(paths) else {}
    inputs = {name: known[name][1] for name in names} if known.keys() >= set(names) else {}
    static = [
        f"{path}:{axis}"
        for value in program.model.graph.inputs
        if value.name in known and value.shape is not None
        for path in [known[value.name][0]]
        for axis in request.asked_axes.get(path, ())
        if isinstance(value.shape[axis], int)
    ]
    return Exported(program, context, result, inputs, static, notes)


def export_with_first(
    strategies: Sequence[Strategy], module: torch.nn.Module, kwargs: Mapping[str, Any], **options: Any
) -> tuple[Exported, Strategy]:
    """Export a module with the first strategy that takes it.

    Args:
        strategies: In the order in which they are tried.
        module: In eval mode.
        kwargs: Example inputs.
        options: Further arguments of `export`.

    Returns:
        The export, its notes saying which strategies did not take the model and why, and the one that did.

    Raises:
        ExportError: HX120 as the only strategy has it.
        HxError: HX109 if the inputs do not fit `forward`; HX125 if none of several takes the model, with the reasons.
    """
    refusals: dict[str, HxError] = {}
    for strategy in strategies:
        try:
            exported = export(module, kwargs, **options, strategy=strategy)
        except UnfitInputs:
            raise
        except HxError as error:
            if len(strategies) == 1:
                raise
            refusals[strategy.name] = error
        else:
            skipped = [f"Strategy {name} was skipped: {error.message}" for name, error in refusals.items()]
            return replace(exported, notes=[*skipped, *exported.notes]), strategy
    raise ExportError(
        "No strategy takes the model. " + " ".join(f"{name}: {e.message}" for name, e in refusals.items()),
        code="HX125",
        hint=next(iter(refusals.values())).hint,
        report="\n\n".join(
            f"{name}\n\n{error.report if isinstance(error, ExportError) else error.message}"
            for name, error in refusals.items()
        ),
    )


def _of_calls(observation: Observation, calls: Sequence[TracedCall], context: ModuleContext) -> Observation:
    """Return an observation with the rows of the calls that the export saw, which may be fewer or in more places."""
    known = {(context.modules[call.module].fqn, call.index): row for row, call in enumerate(context.calls)}
    rows: list[int | None] = []
    for call in calls:
        # What ran in a call that the export did not see ran in the call around it.
        above = None if call.parent is None else rows[call.parent]
        rows.append(known.get((call.fqn, call.index), above))

    def placed(found: Iterable[int]) -> list[int]:
        return [rows[call] or 0 for call in found]

    operations = [
        row.model_copy(
            update={
                "call": None if row.call is None else rows[row.call] or 0,
                "sized": placed(row.sized),
                "repeated": placed(row.repeated),
            }
        )
        for row in observation.operations
    ]
    ports = [
        row.model_copy(update={"call": rows[row.call]})
        for row in observation.ports
        if (calls[row.call].fqn, calls[row.call].index) in known
    ]
    return observation.model_copy(update={"operations": operations, "ports": ports})
