"""`hx export`: the steps from a model spec to files."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hx._model_spec import PyTorchModel
from hx._paths import check_writable, export_path, refuse_existing, sidecar_path, spec_name
from hx._provenance import generator_of
from hx.records.reports import ExportReport, File, NodeDisagreement, Verification
from hx_sidecar_schema import (
    STRATEGIES,
    Confidence,
    HxError,
    Sidecar,
    Strategy,
    TorchNN,
    atomic_folder,
    find_strategy,
    with_witness,
)

if TYPE_CHECKING:
    from hx_cli._output import Output
    from hx_tracer import ExampleInputs, Exported, LoadedModel

EXTERNAL_DATA_BYTES = 100 * 2**20
"""Weights beyond this go to NAME.onnx.data: a graph of a few megabytes opens at once everywhere."""


@dataclass(frozen=True)
class ExportRequest:
    """What the user asked for; the fields are the options of `hx export`."""

    pytorch: PyTorchModel
    output: Path | None = None
    overwrite: bool = False
    dynamic: bool = False
    dynamic_shapes: list[str] = field(default_factory=list[str])
    input_shapes: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    inputs_file: Path | None = None
    opset: int | None = None
    torch_nn: TorchNN = "default"
    strategy: str = "dynamo"
    """Name of one, or `auto`."""
    cross_check: bool = False
    min_confidence: Confidence = "low"
    embed: bool = False
    metadata: bool = True
    """Whether the exporter's stays in the file."""
    keep_context: bool = False
    verify: bool = True


@dataclass
class Clock:
    """Wall time of each step."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def step(self, name: str, output: Output, text: str) -> Generator[None]:
        """Time a block and show that it runs."""
        start = time.perf_counter()
        with output.working(text):
            yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def export_model(request: ExportRequest, output: Output) -> ExportReport:
    """Export, attribute, check and write, all files together at the end.

    Raises:
        HxError: HX402 or HX306 before any work where the files could not be written; else as the packages raise.
    """
    strategies = strategies_of(request)
    target = export_path(request.output, spec_name(request.pytorch.spec))
    _settle(target, request)
    clock = Clock()
    with clock.step("load", output, "Loading torch and the model"):
        from hx_tracer import example_inputs

        loaded = request.pytorch.load()
        if request.output is None and (named := export_path(None, loaded.name)) != target:
            target = named
            _settle(target, request)
        inputs = example_inputs(
            loaded.module,
            example=loaded.example,
            inputs_file=request.inputs_file,
            input_shapes=request.input_shapes,
        )
    with clock.step("export", output, "Exporting with torch.onnx.export"):
        exported, strategy = _export(request, strategies, loaded, inputs, target, output)
    with clock.step("attribute", output, "Finding the module of every node"):
        from hx._attributed import attributed

        generator = generator_of(exported.context.generator, output.argv)
        context = exported.context.model_copy(update={"generator": generator})
        sidecar, exported = attributed(
            replace(exported, context=context),
            strategy,
            file=target.name,
            min_confidence=request.min_confidence,
        )
        _write_metadata(request, exported, sidecar)

    verification: Verification | None = None
    with atomic_folder(target.parent) as staging:
        with clock.step("save", output, "Writing the files"):
            exported.program.save(staging / target.name, external_data=_is_large(exported) or None)
            sidecar.with_file_digest(staging / target.name).save(staging / sidecar_path(target).name)
            if request.keep_context:
                context_file = staging / _context_path(target).name
                context_file.write_text(context.model_dump_json(indent=1) + "\n", encoding="utf-8")
        written = [target.parent / path.name for path in _files(staging)]
        if request.verify:
            with clock.step("verify", output, "Comparing the outputs with PyTorch"):
                from hx._verify.whole_model import verify_export

                verification = verify_export(staging / target.name, exported.inputs, exported.result)
    _remove_stale_data(target, written)
    return _report(request, loaded, exported, sidecar, written, verification, clock)


def _settle(target: Path, request: ExportRequest) -> None:
    paths = [target, target.with_name(f"{target.name}.data"), sidecar_path(target)]
    if request.keep_context:
        paths.append(_context_path(target))
    refuse_existing(paths, overwrite=request.overwrite)
    check_writable(target.parent)


def strategies_of(request: ExportRequest) -> list[Strategy]:
    """Return the strategies to try; with --cross-check, the witness is asked too.

    Raises:
        HxError: HX123 if there is none of that name.
    """
    chosen = [*STRATEGIES.values()] if request.strategy == "auto" else [find_strategy(request.strategy)]
    return [with_witness(strategy) for strategy in chosen] if request.cross_check else chosen


def _write_metadata(request: ExportRequest, exported: Exported, sidecar: Sidecar) -> None:
    from hx_projector import embed, strip_metadata

    if not request.metadata:
        strip_metadata(exported.program.model)
    if request.embed:
        embed(exported.program.model, sidecar)


def _export(
    request: ExportRequest,
    strategies: Sequence[Strategy],
    loaded: LoadedModel,
    inputs: ExampleInputs,
    target: Path,
    output: Output,
) -> tuple[Exported, Strategy]:
    from hx_tracer import ExportError, export_with_first

    axes = axes_of(request, inputs.kwargs)
    printed = io.StringIO()
    try:
        with output.foreign() as printed:
            return export_with_first(
                strategies,
                loaded.module,
                inputs.kwargs,
                args=inputs.args,
                axes=axes,
                opset=request.opset,
                torch_nn=request.torch_nn,
            )
    except ExportError as error:
        report = target.with_name(f"{target.stem}_export_report.txt")
        with atomic_folder(report.parent) as staging:
            (staging / report.name).write_text(f"{error.report}\n{printed.getvalue()}", encoding="utf-8")
        hint = f"{error.hint} The whole report is in {str(report)!r}."
        raise HxError(error.message, code=error.code, hint=hint) from error


def axes_of(request: ExportRequest, kwargs: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    """Return the axes that are asked to be dynamic, with their symbols, by input path.

    Raises:
        HxError: HX112 if one that is given is none of the inputs.
    """
    from hx_tracer import free_axes, parse_axis

    axes = free_axes(kwargs) if request.dynamic else {}
    for text in request.dynamic_shapes:
        name, axis, symbol = parse_axis(text, kwargs)
        axes.setdefault(name, {})[axis] = symbol
    return axes


def _is_large(exported: Exported) -> bool:
    values = exported.program.model.graph.initializers.values()
    return sum(v.const_value.nbytes for v in values if v.const_value is not None) > EXTERNAL_DATA_BYTES


def _context_path(target: Path) -> Path:
    return target.with_name(f"{target.stem}_context.json")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _remove_stale_data(target: Path, written: list[Path]) -> None:
    """The new model may hold its weights itself, where the one before had a file of them."""
    data = target.with_name(f"{target.name}.data")
    if data not in written:
        data.unlink(missing_ok=True)


def _report(
    request: ExportRequest,
    loaded: LoadedModel,
    exported: Exported,
    sidecar: Sidecar,
    written: list[Path],
    verification: Verification | None,
    clock: Clock,
) -> ExportReport:
    return ExportReport(
        model=request.pytorch.spec,
        class_name=sidecar.modules[0].class_name,
        files=[File(path=str(path), size_bytes=path.stat().st_size) for path in written],
        parameters=sum(parameter.numel() for parameter in loaded.module.parameters()),
        modules=len(sidecar.modules),
        nodes=sidecar.summary.nodes,
        exact_percent=sidecar.summary.exact_percent,
        covered_percent=sidecar.summary.covered_percent,
        calls=dict(Counter(call.status for call in sidecar.calls)),
        category_statistics={
            name: row.model_dump() for name, row in sidecar.summary.category_statistics.items()
        },
        inputs={tensor.name: tensor.shape for tensor in sidecar.model.inputs},
        outputs={tensor.name: tensor.shape for tensor in sidecar.model.outputs},
        static_axes=exported.static_axes,
        notes=exported.notes,
        strategy=sidecar.generator.strategy,
        disagreements=_disagreements(sidecar),
        verification=verification,
        seconds=clock.seconds,
    )


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
