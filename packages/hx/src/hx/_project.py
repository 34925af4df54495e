"""`hx project`: a sidecar for a model that was exported elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hx._model_spec import PyTorchModel
from hx._paths import check_writable, refuse_existing, sidecar_path
from hx._provenance import generator_of
from hx.records.reports import File, ProjectReport
from hx_sidecar_schema import Confidence, HxError, Sidecar, atomic_folder

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

    from hx_cli._output import Output


@dataclass(frozen=True)
class ProjectRequest:
    """What the user asked for; the fields are the options of `hx project`."""

    model: Path
    output: Path | None = None
    against: PyTorchModel | None = None
    inputs_file: Path | None = None
    min_confidence: Confidence = "low"
    overwrite: bool = False


def project_model(request: ProjectRequest, output: Output) -> ProjectReport:
    """Attribute a model and write its sidecar.

    Raises:
        HxError: HX402 or HX306 before any work where the file could not be written; else as the packages raise.
    """
    target = request.output or sidecar_path(request.model)
    refuse_existing([target], overwrite=request.overwrite)
    check_writable(target.parent)
    with output.working("Reading the model"):
        model = _read(request.model)
    with output.working("Finding the module of every node"):
        if request.against is None:
            from hx_projector import project_file

            sidecar = project_file(model, file=request.model.name, min_confidence=request.min_confidence)
        else:
            sidecar = _project_against(model, request, request.against)
    sidecar = sidecar.model_copy(update={"generator": generator_of(sidecar.generator, output.argv)})
    with atomic_folder(target.parent) as staging:
        sidecar.with_file_digest(request.model).save(staging / target.name)
    return ProjectReport(
        model=str(request.model),
        exporter=sidecar.generator.exporter,
        file=File(path=str(target), size_bytes=target.stat().st_size),
        modules=len(sidecar.modules),
        nodes=sidecar.summary.nodes,
        exact_percent=sidecar.summary.exact_percent,
        covered_percent=sidecar.summary.covered_percent,
        calls=dict(Counter(call.status for call in sidecar.calls)),
        evidence=dict(Counter(f"{node.evidence}, {node.confidence}" for node in sidecar.nodes)),
    )


def _read(path: Path) -> ir.Model:
    """Read a model with the types of its values: a file may leave them out, and calls need them."""
    from hx_graph import infer_types, read_model

    model = read_model(path)
    infer_types(model)
    return model


def _project_against(model: ir.Model, request: ProjectRequest, against: PyTorchModel) -> Sidecar:
    from hx._verify.whole_model import to_numpy
    from hx_projector import project, with_words
    from hx_tracer import example_inputs, observed_context

    loaded = against.load()
    inputs = example_inputs(
        loaded.module,
        example=loaded.example,
        inputs_file=request.inputs_file,
        input_shapes=None
        if request.inputs_file or loaded.example is not None
        else _static_shapes(model, loaded.module),
    )
    kwargs, tensors = _matched(model, inputs.kwargs, loaded.module)
    context = observed_context(loaded.module, kwargs, args=inputs.args)
    context = with_words(model, context)
    return project(
        model,
        context.model_copy(update={"examples": _examples(tensors)}),
        file=request.model.name,
        sources=("exporter", "witness", "parameter", "dataflow"),
        feeds={name: to_numpy(tensor) for name, tensor in tensors.items()},
        min_confidence=request.min_confidence,
    )


def _examples(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    from hx_tracer import example_record

    return {name: example_record(tensor) for name, tensor in tensors.items()}


def _static_shapes(model: ir.Model, module: torch.nn.Module) -> dict[str, list[int]]:
    """Return the shapes of the graph's inputs that are named after parameters of `forward` and have no free axis."""
    from hx_tracer import module_records

    known = module_records(module)[0].forward_args
    shapes: dict[str, list[int]] = {}
    for value in model.graph.inputs:
        if value.name in known and value.shape is not None and value.shape.is_static():
            shapes[value.name] = [int(dim) for dim in value.shape]  # pyright: ignore[reportArgumentType]
    return shapes


def _matched(
    model: ir.Model, kwargs: Mapping[str, Any], module: torch.nn.Module
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the arguments that the graph has too, and its inputs by their names there.

    Inputs are matched by name, with dots or underscores; where that fails, by position.

    Raises:
        HxError: HX127 if the graph has other inputs than the module.
    """
    from hx_tracer import input_paths

    names = [str(value.name) for value in model.graph.inputs if not value.is_initializer()]
    paths = dict(input_paths(kwargs))
    by_name = {path.replace(".", "_"): path for path in paths} | {path: path for path in paths}
    if all(name in by_name for name in names):
        used = {by_name[name].partition(".")[0] for name in names}
        return (
            {name: value for name, value in kwargs.items() if name in used},
            {name: paths[by_name[name]] for name in names},
        )
    if len(names) == len(paths):
        return dict(kwargs), dict(zip(names, paths.values(), strict=True))
    raise HxError(
        f"The graph has the inputs {', '.join(map(repr, names))}, {type(module).__name__!r} was given {', '.join(map(repr, paths))}.",
        code="HX127",
        hint="Give the same inputs to both with --inputs FILE, named as forward() names them.",
    )
