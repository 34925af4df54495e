"""From a PyTorch model to an ONNX model that knows its modules."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from hx._export.exported import Export
from hx._export.in_place import check_in_place, placement
from hx._models import AnyModel, ModelSpec, given_inputs, model_spec
from hx._progress import Clock, Progress, captured, silent
from hx._redacted import Redactor, model_folders, provenance_of, redactor
from hx._tensors import to_numpy
from hx.files import export_path
from hx_sidecar_schema import (
    STRATEGIES,
    Confidence,
    HxError,
    ModelDoesNotRun,
    Sidecar,
    Strategy,
    TorchNN,
    atomic_folder,
    check_choice,
    find_strategy,
    with_witness,
)

if TYPE_CHECKING:
    import torch

    from hx_tracer import ExampleInputs, Exported, LoadedModel

DynamicAxes = Mapping[str, Mapping[int, str] | Sequence[int]]
"""Free axes by input, with their symbols or without."""

Weights = Literal["copy", "in-place"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportRequest:
    """What to export and how; see `export` for the fields."""

    pytorch: ModelSpec
    args: Any = ()
    kwargs: Mapping[str, Any] | None = None
    input_names: Sequence[str] | None = None
    output_names: Sequence[str] | None = None
    opset_version: int | None = None
    dynamic: bool = False
    dynamic_axes: DynamicAxes | None = None
    dynamic_shapes: Any = None
    input_shapes: Mapping[str, Sequence[int]] | None = None
    strategy: str = "dynamo"
    cross_check: bool = False
    torch_nn: TorchNN = "default"
    min_confidence: Confidence = "low"
    remedies: bool = True

    def strategies(self) -> list[Strategy]:
        """Return the strategies to try, HX123 if there is none of that name; `cross_check` asks the witness too."""
        chosen = [*STRATEGIES.values()] if self.strategy == "auto" else [find_strategy(self.strategy)]
        return [with_witness(strategy) for strategy in chosen] if self.cross_check else chosen

    def options(self, module: torch.nn.Module, inputs: ExampleInputs) -> dict[str, Any]:
        """Return what a plain export takes too, as arguments of `hx_tracer`'s; HX112 for a free axis that no input has."""
        return {
            "args": inputs.args,
            "kwargs": inputs.kwargs,
            "axes": self._axes(module, inputs),
            "dynamic_shapes": self.dynamic_shapes,
            "input_names": self.input_names,
            "output_names": self.output_names,
            "opset": self.opset_version,
            "remedies": self.remedies,
        }

    def _axes(self, module: torch.nn.Module, inputs: ExampleInputs) -> dict[str, dict[int, str]]:
        from hx_tracer import argument_paths, free_axes, identifier, matching_paths

        tensors = dict(argument_paths(module, inputs.args, inputs.kwargs))
        axes = free_axes(tensors.items()) if self.dynamic else {}
        renamed = dict(zip(self.input_names or (), tensors, strict=False))
        for given, symbols in (self.dynamic_axes or {}).items():
            names = [renamed[given]] if given in renamed else matching_paths(given, tensors)
            if not names and given in (self.output_names or ()):
                continue
            for axis in symbols:
                if not names or not all(0 <= axis < tensors[name].ndim for name in names):
                    shapes = ", ".join(f"{path}{list(tensor.shape)}" for path, tensor in tensors.items())
                    raise HxError(
                        f"Dynamic axis {f'{given}:{axis}'!r} is no axis of the inputs, which are {shapes}.",
                        code="HX112",
                        hint="Name an input and one of its axes, counted from 0.",
                        argument="dynamic_axes",
                    )
                for name in names:
                    own = f"{given if given in renamed else identifier(name)}_{axis}"
                    axes.setdefault(name, {})[axis] = symbols[axis] if isinstance(symbols, Mapping) else own
        return axes


def export(
    model: AnyModel,
    args: Any = (),
    f: str | Path | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamic: bool = False,
    dynamic_axes: DynamicAxes | None = None,
    dynamic_shapes: Any = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    strategy: str = "dynamo",
    cross_check: bool = False,
    torch_nn: TorchNN = "default",
    min_confidence: Confidence = "low",
    remedies: bool = True,
    weights: Weights = "copy",
    verify: bool = True,
    embed: bool = False,
    metadata: bool = True,
    keep_context: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Export:
    """Export a model with exactly the graph that `torch.onnx.export` gives, and know which module call made every node.

    Names, arguments and defaults are those of `torch.onnx.export` where it has them.

    Examples:
        >>> import torch, hx
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> exported = hx.export(model, (torch.ones(2, 4),))
        >>> [node.op_type for node in exported["0"].nodes]
        ['Gemm']

    Args:
        model: A module in memory, which is as before afterwards; a function that makes one; or a string, see `ModelSpec`.
        args: Example inputs: a tuple by position, a mapping by the names of `forward()`, one tensor, or a file (`.pt`,
            `.npz`, `.safetensors`). Arrays are taken for tensors. Empty: what the function `model` gave, else inputs are
            made that fit the signature.
        f: Where to write the model, with its sidecar beside it; see `Export.save`. None writes nothing.
        kwargs: Example inputs by name, beside those of `args`.
        input_names: Names of the graph's inputs, in order.
        output_names: Names of the graph's outputs, in order.
        opset_version: Of the ONNX operators; None for the exporter's default. A note says where the exporter wrote another one.
        dynamic: Free axis 0 of every input and axis 1 of every input of rank 2, as `batch` and `sequence`.
        dynamic_axes: Further free axes by input, with their symbols: `{"input_ids": {1: "sequence"}}`; or without:
            `{"input_ids": [1]}`. Tensors in containers go by path (`past.0.key`), by their name in the graph (`past_0_key`),
            or several at once (`past.*`). Axes of outputs follow from them, and are left out where `output_names` has the name.
        dynamic_shapes: What `torch.onnx.export` takes under this name, instead of the two above.
        input_shapes: Shapes of example inputs by name, as of `dynamic_axes`: these are made.
        strategy: Exporter and evidence: `dynamo`, `htp`, `fx_graph`, `usage_based`, or `auto` for the first that takes
            the model.
        cross_check: Ask the values of a run in PyTorch too, and list where sources disagree.
        torch_nn: Which `torch.nn` classes have tags of their own: `default`, `all`, `none`, or class names.
        min_confidence: What is known less surely is left to the root, and not covered.
        remedies: Where the exporter refuses, try it with examples of size 2 for free axes of size 1 (also where that fixes
            them) and without gradients, then look for the implementation of attention or
            experts that helps; without, its refusal is the error at once.
        weights: `copy` writes them; `in-place` refers to the safetensors files of the local folder `model`, in which, or above which,
            `f` must be. What the exporter transposed or computed, and what was converted, is written beside it.
        verify: Compare the outputs with PyTorch's; a warning is logged where they differ.
        embed: With `f`, as of `Export.save`; `metadata`, `keep_context` and `overwrite` too.
        metadata: As of `Export.save`.
        keep_context: As of `Export.save`.
        overwrite: As of `Export.save`.
        progress: Told what goes on.

    Returns:
        The model in memory. Its weights are the module's own tensors, not copies.

    Raises:
        HxError: HX402 or HX306 before any work where `f` could not be written; HX101 to HX113 where model or inputs
            do not fit; HX130, HX204 or HX219 where weights cannot stay in place; HX120 or HX125 if the exporter refuses the model; HX123 for an unknown strategy, HX406 for another
            unknown word, or a name that is no class of `torch.nn`.
    """
    check_choice("min_confidence", min_confidence, get_args(Confidence))
    check_choice("weights", weights, get_args(Weights))
    in_place = weights == "in-place"
    if in_place and strategy == "auto":
        strategy = "dynamo"  # all others copy every weight
    request = ExportRequest(
        model_spec(model),
        args,
        kwargs,
        input_names,
        output_names,
        opset_version,
        dynamic,
        dynamic_axes,
        dynamic_shapes,
        input_shapes,
        strategy,
        cross_check,
        torch_nn,
        min_confidence,
        remedies,
    )
    strategies = request.strategies()  # one that does not exist is found before any work
    target = None if f is None else export_path(f, "f", keep_context=keep_context, overwrite=overwrite)
    if in_place:
        check_in_place(request.pytorch, target, strategies)
    clock = Clock(progress)
    with clock.step("load", "Loading torch and the model"):
        from hx_tracer import check_torch_nn

        check_torch_nn(torch_nn)
        loaded = request.pytorch.load(unread=True, in_place=in_place)
        _check_unread(request, loaded)
        loaded = replace(loaded, example=given_inputs(loaded, args, kwargs, input_shapes))
    with clock.step("export", "Exporting with torch.onnx.export"):
        from hx_projector import redact_text
        from hx_tracer import refer_to_files

        redact = redactor(model_folders(request.pytorch.model), numbers=False)
        exported, used = _exported(request, loaded, target, progress, redact)
        refer_to_files(exported.program.model, loaded.files)
        if in_place:
            exported = replace(exported, notes=[placement(exported.program.model), *exported.notes])
        redact_text(exported.program.model, redact)
    with clock.step("attribute", "Finding the module of every node"):
        file = target.name if target else f"{loaded.name}.onnx"
        sidecar, exported = attribute(exported, used, file=file, min_confidence=min_confidence)
    result = Export(request.pytorch.name, loaded, exported, sidecar, clock)
    if target is not None:
        result.save(target, verify=verify, embed=embed, metadata=metadata, keep_context=keep_context, overwrite=True)
    elif verify:
        _ = result.verification
    report = result.report
    if report.verification is not None and report.verification.status == "mismatch":
        logger.warning("%s", " ".join([f"{report}.", *report.notes]))
    return result


def _check_unread(request: ExportRequest, loaded: LoadedModel) -> None:
    """Refuse strategies that compute with weights, for a model whose weights were not made; HX123."""
    from hx_tracer import is_unread

    reads = [strategy for strategy in request.strategies() if strategy.exporter != "dynamo" or strategy.observer]
    if reads and is_unread(loaded.module):
        raise HxError(
            f"Strategy {reads[0].name!r} runs the model, whose weights were not made: they are too large.",
            code="HX123",
            hint="Take strategy 'dynamo', without a cross-check; or a smaller configuration.",
            argument="strategy",
        )


def _exported(
    request: ExportRequest, loaded: LoadedModel, target: Path | None, progress: Progress, redact: Redactor
) -> tuple[Exported, Strategy]:
    """Export with the first strategy that takes the model; the exporter's report of a refusal lies beside `target`."""
    from hx_tracer import ExportError, export_with_first

    options: dict[str, Any] = request.options(loaded.module, loaded.example)
    options |= {"torch_nn": request.torch_nn, "tell": lambda text: progress(text, 0, 0)}  # pyright: ignore
    with captured() as printed:
        try:
            return export_with_first(request.strategies(), loaded.module, **options)
        except ExportError as error:
            if target is None:
                raise
            refusal = error
    numbers = chain([""], (f"_{number}" for number in count(2)))  # other files stay, earlier reports among them
    names = (target.with_name(f"{target.stem}_export_report{number}.txt") for number in numbers)
    report = next(path for path in names if not os.path.lexists(path))
    with atomic_folder(report.parent, "f") as staging:
        (staging / report.name).write_text(redact(f"{refusal.report}\n{printed.getvalue()}"), encoding="utf-8")
    raise ExportError(
        refusal.message,
        hint=f"{refusal.hint} The whole report is in {str(report)!r}.",
        report=refusal.report,
        remedy=refusal.remedy,
        code=refusal.code,
        argument=refusal.argument,
    ) from refusal


def attribute(
    exported: Exported, strategy: Strategy, *, file: str, min_confidence: Confidence
) -> tuple[Sidecar, Exported]:
    """Find the module call of every node of an export; return the sidecar, and the export with what made it.

    Where ONNX Runtime cannot run the graph, the exporter's word has to do: no call has ports then, and a note says so. HX121
    where the strategy does not ask the exporter.
    """
    import hx_projector

    context = exported.context.model_copy(update={"generator": provenance_of(exported.context.generator)})
    exported = replace(exported, context=context)
    project = partial(
        hx_projector.project, exported.program.model, file=file, sources=strategy.sources, min_confidence=min_confidence
    )
    feeds = {name: to_numpy(tensor) for name, tensor in exported.inputs.items()}
    try:
        return project(context, feeds=feeds if strategy.observer else None), exported
    except ModelDoesNotRun as error:
        if strategy.sources[0] != "exporter":
            raise
        note = f"{error.message.rstrip('.')}. Owners are the exporter's word alone, and no call can be cut out."
    reason = "ONNX Runtime cannot run the graph, so its values do not say where the ports are."
    calls = [call.model_copy(update={"status": "fused", "reason": reason}) for call in context.calls]
    sidecar = project(context.model_copy(update={"calls": calls}), feeds=None)
    return sidecar, replace(exported, notes=[*exported.notes, note])
