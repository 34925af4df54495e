"""From a PyTorch model to an ONNX model that knows its modules, in memory and in files."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_args

from hx._given_inputs import given_inputs
from hx._model_spec import AnyModel, ModelSpec, model_spec
from hx._progress import Clock, Progress, captured, silent
from hx._provenance import provenance_of
from hx._tensors import to_numpy
from hx.files import check_writable, onnx_path, refuse_existing, sidecar_path
from hx.records.export import ExportReport, NodeDisagreement, Verification
from hx.records.report import File
from hx_extractor import Hierarchy
from hx_sidecar_schema import (
    STRATEGIES,
    Confidence,
    HxError,
    ModelDoesNotRun,
    ModuleContext,
    Sidecar,
    Strategy,
    TorchNN,
    atomic_folder,
    check_choice,
    find_strategy,
    with_witness,
)

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    import torch
    from numpy.typing import NDArray

    from hx_tracer import ExampleInputs, Exported, LoadedModel

EXTERNAL_DATA_BYTES = 100 * 2**20
"""Weights beyond this go to NAME.onnx.data: a graph of a few megabytes opens at once everywhere."""


DynamicAxes = Mapping[str, Mapping[int, str] | Sequence[int]]
"""Free axes by input, with their symbols or without."""

logger = logging.getLogger(__name__)


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
    verify: bool = True,
    embed: bool = False,
    metadata: bool = True,
    keep_context: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Export:
    """Export a model with exactly the graph that `torch.onnx.export` gives, and know which module call made every node.

    Names, arguments and defaults are those of `torch.onnx.export` where it has them.

    Example:
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
        opset_version: Of the ONNX operators; None for the exporter's default.
        dynamic: Free axis 0 of every input and axis 1 of every input of rank 2, as `batch` and `sequence`.
        dynamic_axes: Further free axes by input, with their symbols: `{"input_ids": {1: "sequence"}}`; or without:
            `{"input_ids": [1]}`. Axes of outputs follow from them, and are left out where `output_names` has the name.
        dynamic_shapes: What `torch.onnx.export` takes under this name, instead of the two above.
        input_shapes: Shapes of example inputs by name: these are made.
        strategy: Exporter and evidence: `dynamo`, `htp`, `fx_graph`, `usage_based`, or `auto` for the first that takes
            the model.
        cross_check: Ask the values of a run in PyTorch too, and list where sources disagree.
        torch_nn: Which `torch.nn` classes have tags of their own: `default`, `all`, `none`, or class names.
        min_confidence: What is known less surely is left to the root, and not covered.
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
            do not fit; HX120 or HX125 if the exporter refuses the model; HX123 for an unknown strategy, HX406 for another
            unknown word.
    """
    check_choice("min_confidence", min_confidence, get_args(Confidence))
    request = ExportRequest(
        pytorch=model_spec(model),
        args=args,
        kwargs=kwargs or {},
        input_names=input_names,
        output_names=output_names,
        opset_version=opset_version,
        dynamic=dynamic,
        dynamic_axes=dynamic_axes or {},
        dynamic_shapes=dynamic_shapes,
        input_shapes=input_shapes or {},
        strategy=strategy,
        cross_check=cross_check,
        torch_nn=torch_nn,
        min_confidence=min_confidence,
    )
    strategies = request.strategies()
    target = None if f is None else onnx_path(Path(f))
    if target is not None:
        _settle(target, keep_context=keep_context, overwrite=overwrite)
    clock = Clock(progress)
    with clock.step("load", "Loading torch and the model"):
        loaded = request.pytorch.load()
        inputs = request.inputs(loaded)
        loaded = replace(loaded, example=inputs)
    with clock.step("export", "Exporting with torch.onnx.export"):
        exported, used = _export(request, strategies, loaded, inputs, target)
    with clock.step("attribute", "Finding the module of every node"):
        sidecar, exported = attribute(
            exported, used, file=target.name if target else f"{loaded.name}.onnx", min_confidence=min_confidence
        )
    result = Export(request, loaded, exported, sidecar, clock)
    if target is not None:
        result.save(target, verify=verify, embed=embed, metadata=metadata, keep_context=keep_context, overwrite=True)
    elif verify:
        _ = result.verification
    report = result.report
    if report.verification is not None and report.verification.status == "mismatch":
        logger.warning("%s", " ".join([f"{report}.", *report.notes]))
    return result


class Export(Hierarchy):
    """An exported model in memory, with the module that it was made of. Weights are the module's own tensors."""

    def __init__(
        self, request: ExportRequest, loaded: LoadedModel, exported: Exported, sidecar: Sidecar, clock: Clock
    ) -> None:
        """Hold what an export made; `export` makes it."""
        super().__init__(None, sidecar, exported.program.model)
        self._request = request
        self._loaded = loaded
        self._exported = exported
        self._clock = clock
        self._files: list[Path] = []

    @property
    def module(self) -> torch.nn.Module:
        """The module that was exported."""
        return self._loaded.module

    @property
    def loaded(self) -> LoadedModel:
        """The module with its example inputs."""
        return self._loaded

    @property
    def context(self) -> ModuleContext:
        """What was seen during the export."""
        return self._exported.context

    def example_inputs(self) -> dict[str, NDArray[np.generic]]:
        """Return the inputs that the model was exported with; a file keeps those of large ones not exactly.

        Raises:
            HxError: HX206 if the graph has inputs that the module was not given, and no example of one is recorded.
        """
        from onnx_ir.tensor_adapters import TorchTensor

        given = self._exported.inputs
        return {name: TorchTensor(tensor).numpy() for name, tensor in given.items()} or super().example_inputs()

    @cached_property
    def verification(self) -> Verification:
        """The outputs beside those of the module, on the example inputs; compared when first asked for."""
        with self._clock.step("verify", "Comparing the outputs with PyTorch"), TemporaryDirectory() as folder:
            return self._compared(self._write(Path(folder) / self.sidecar.model.file))

    @property
    def report(self) -> ExportReport:
        """What was done and found: the record that `hx export --json` prints."""
        exported, sidecar = self._exported, self.sidecar
        return ExportReport(
            model=self._request.pytorch.name,
            class_name=sidecar.modules[0].class_name,
            files=[File(path=str(path), size_bytes=path.stat().st_size) for path in self._files],
            parameters=sum(parameter.numel() for parameter in self.module.parameters()),
            modules=len(sidecar.modules),
            nodes=sidecar.summary.nodes,
            exact_percent=sidecar.summary.exact_percent,
            covered_percent=sidecar.summary.covered_percent,
            calls=dict(Counter(call.status for call in sidecar.calls)),
            category_statistics={name: row.model_dump() for name, row in sidecar.summary.category_statistics.items()},
            inputs={tensor.name: tensor.shape for tensor in sidecar.model.inputs},
            outputs={tensor.name: tensor.shape for tensor in sidecar.model.outputs},
            static_axes=exported.static_axes,
            notes=exported.notes,
            strategy=sidecar.generator.strategy,
            disagreements=_disagreements(sidecar),
            verification=self.__dict__.get("verification"),
            seconds=self._clock.seconds,
        )

    def save(
        self,
        path: str | Path,
        *,
        verify: bool = True,
        embed: bool = False,
        metadata: bool = True,
        keep_context: bool = False,
        overwrite: bool = False,
    ) -> ExportReport:
        """Write the model and its sidecar, all files together at the end: a failure leaves what was there before.

        Weights of more than 100 MB go to `NAME.onnx.data`.

        Args:
            path: The ONNX file; the sidecar `NAME_hierarchy.json` lies beside it.
            verify: Compare the outputs of the file with PyTorch's, where that was not done yet.
            embed: Write the sidecar into the model's metadata too, under `pkg.hx.*` keys.
            metadata: Keep the exporter's metadata: kilobytes a node, with local paths.
            keep_context: Write `NAME_context.json` too: what was seen during the export.
            overwrite: Replace files that exist.

        Returns:
            The record of the export, with its files.

        Raises:
            HxError: HX402 if a file exists, HX306 if one cannot be written, HX406 if `path` is no .onnx file.
        """
        from hx_projector import embed as embed_sidecar, strip_metadata

        target = onnx_path(Path(path))
        _settle(target, keep_context=keep_context, overwrite=overwrite)
        with atomic_folder(target.parent) as staging:
            with self._clock.step("save", "Writing the files"):
                sidecar = with_file(self.sidecar, target.name)
                if not metadata:
                    strip_metadata(self.model)
                if embed:
                    embed_sidecar(self.model, sidecar)
                staged = self._write(staging / target.name)
                sidecar.with_file_digest(staged).save(staging / sidecar_path(target).name)
                if keep_context:
                    text = self.context.model_dump_json(indent=1) + "\n"
                    (staging / _context_path(target).name).write_text(text, encoding="utf-8")
            written = [target.parent / path.name for path in sorted(staging.iterdir()) if path.is_file()]
            if verify and "verification" not in self.__dict__:
                with self._clock.step("verify", "Comparing the outputs with PyTorch"):
                    self.__dict__["verification"] = self._compared(staged)
        data = target.with_name(f"{target.name}.data")
        if data not in written:  # of the model that was there before
            data.unlink(missing_ok=True)
        self._files = written
        return self.report

    def _write(self, path: Path) -> Path:
        self._exported.program.save(path, external_data=_is_large(self.model) or None)
        return path

    def _compared(self, path: Path) -> Verification:
        from hx._whole_model import verify_export

        return verify_export(path, self._exported.inputs, self._exported.result)


@dataclass(frozen=True)
class ExportRequest:
    """What to export and how; see `export` for the fields."""

    pytorch: ModelSpec
    args: Any = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    input_names: Sequence[str] | None = None
    output_names: Sequence[str] | None = None
    opset_version: int | None = None
    dynamic: bool = False
    dynamic_axes: DynamicAxes = field(default_factory=dict[str, Mapping[int, str]])
    dynamic_shapes: Any = None
    input_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    strategy: str = "dynamo"
    cross_check: bool = False
    torch_nn: TorchNN = "default"
    min_confidence: Confidence = "low"

    def strategies(self) -> list[Strategy]:
        """Return the strategies to try; with `cross_check`, the witness is asked too.

        Raises:
            HxError: HX123 if there is none of that name.
        """
        chosen = [*STRATEGIES.values()] if self.strategy == "auto" else [find_strategy(self.strategy)]
        return [with_witness(strategy) for strategy in chosen] if self.cross_check else chosen

    def inputs(self, loaded: LoadedModel) -> ExampleInputs:
        """Return the example inputs: those that are given, the factory's, or made ones.

        Raises:
            HxError: HX108 to HX110 where there are none that fit.
        """
        return given_inputs(loaded, self.args, self.kwargs, self.input_shapes)

    def options(self, inputs: ExampleInputs) -> dict[str, Any]:
        """Return the settings that a plain export has too, as arguments of `hx_tracer`'s exports.

        Raises:
            HxError: HX112 if a free axis is given that is none of the inputs'.
        """
        return {
            "args": inputs.args,
            "axes": self._axes(inputs.kwargs),
            "dynamic_shapes": self.dynamic_shapes,
            "input_names": self.input_names,
            "output_names": self.output_names,
            "opset": self.opset_version,
        }

    def _axes(self, kwargs: Mapping[str, Any]) -> dict[str, dict[int, str]]:
        from hx_tracer import free_axes, input_paths

        axes = free_axes(kwargs) if self.dynamic else {}
        tensors = dict(input_paths(kwargs))
        renamed = dict(zip(self.input_names or (), tensors, strict=False))
        for given, symbols in self.dynamic_axes.items():
            name = renamed.get(given, given)
            if name not in tensors and given in (self.output_names or ()):
                continue
            for axis in symbols:
                if name not in tensors or not 0 <= axis < tensors[name].ndim:
                    shapes = ", ".join(f"{path}{list(tensor.shape)}" for path, tensor in tensors.items())
                    raise HxError(
                        f"Dynamic axis {f'{given}:{axis}'!r} is no axis of the inputs, which are {shapes}.",
                        code="HX112",
                        hint="Name an input and one of its axes, counted from 0.",
                        argument="dynamic_axes",
                    )
                symbol = symbols[axis] if isinstance(symbols, Mapping) else f"{given}_{axis}"
                axes.setdefault(name, {})[axis] = symbol
        return axes


def attribute(
    exported: Exported, strategy: Strategy, *, file: str, min_confidence: Confidence
) -> tuple[Sidecar, Exported]:
    """Find the module call of every node of an export.

    Returns:
        The sidecar, and the export with what made it; with a note where ONNX Runtime cannot run the graph and the
        exporter's word has to do: no call has ports then.

    Raises:
        ModelDoesNotRun: HX121 if ONNX Runtime cannot run the graph and the strategy does not ask the exporter.
    """
    from hx_projector import project

    context = exported.context.model_copy(update={"generator": provenance_of(exported.context.generator)})
    exported = replace(exported, context=context)

    def projected(context: ModuleContext, feeds: dict[str, Any] | None) -> Sidecar:
        return project(
            exported.program.model,
            context,
            file=file,
            sources=strategy.sources,
            feeds=feeds,
            min_confidence=min_confidence,
        )

    feeds = {name: to_numpy(tensor) for name, tensor in exported.inputs.items()}
    try:
        return projected(context, feeds if strategy.observer else None), exported
    except ModelDoesNotRun as error:
        if strategy.sources[0] != "exporter":
            raise
        note = f"{error.message.rstrip('.')}. Owners are the exporter's word alone, and no call can be cut out."
    reason = "ONNX Runtime cannot run the graph, so its values do not say where the ports are."
    calls = [call.model_copy(update={"status": "fused", "reason": reason}) for call in context.calls]
    sidecar = projected(context.model_copy(update={"calls": calls}), None)
    return sidecar, replace(exported, notes=[*exported.notes, note])


def with_file(sidecar: Sidecar, name: str) -> Sidecar:
    """Return a sidecar of a file of this name."""
    return sidecar.model_copy(update={"model": sidecar.model.model_copy(update={"file": name})})


def _settle(target: Path, *, keep_context: bool, overwrite: bool) -> None:
    paths = [target, target.with_name(f"{target.name}.data"), sidecar_path(target)]
    refuse_existing([*paths, *([_context_path(target)] if keep_context else [])], overwrite=overwrite)
    check_writable(target.parent)


def _context_path(target: Path) -> Path:
    return target.with_name(f"{target.stem}_context.json")


def _export(
    request: ExportRequest,
    strategies: Sequence[Strategy],
    loaded: LoadedModel,
    inputs: ExampleInputs,
    target: Path | None,
) -> tuple[Exported, Strategy]:
    from hx_tracer import ExportError, export_with_first

    options = request.options(inputs)
    with captured() as printed:
        try:
            return export_with_first(strategies, loaded.module, inputs.kwargs, **options, torch_nn=request.torch_nn)
        except ExportError as error:
            if target is None:
                raise
            text = f"{error.report}\n{printed.getvalue()}"
            refusal = error
    report = target.with_name(f"{target.stem}_export_report.txt")
    with atomic_folder(report.parent) as staging:
        (staging / report.name).write_text(text, encoding="utf-8")
    hint = f"{refusal.hint} The whole report is in {str(report)!r}."
    raise HxError(refusal.message, code=refusal.code, hint=hint, argument=refusal.argument) from refusal


def _is_large(model: ir.Model) -> bool:
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None) > EXTERNAL_DATA_BYTES


def _disagreements(sidecar: Sidecar) -> list[NodeDisagreement]:
    op_types = {node.output: node.op_type for node in sidecar.nodes if not node.graph}
    return [
        NodeDisagreement(
            output=row.output,
            op_type=op_types[row.output],
            evidence=row.evidence,
            owner=sidecar.tag(sidecar.calls[row.owner]),
            against=row.against,
            other=sidecar.tag(sidecar.calls[row.other]),
        )
        for row in sidecar.disagreements
    ]
