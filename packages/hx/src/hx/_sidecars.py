"""Sidecars for models that are there: exported elsewhere, or made of an export by a tool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import onnx_ir as ir

from hx._file_inputs import Shapes, tried_inputs
from hx._models import AnyHierarchy, AnyModel, given_inputs, model_spec, name_of, opened
from hx._progress import Progress, silent
from hx._redacted import provenance_of
from hx._tensors import to_numpy
from hx.files import check_writable, sidecar_path
from hx.records.project import ProjectReport
from hx.records.relink import RelinkReport, SpanningNode
from hx.records.report import File, counts_of, statuses_of
from hx_extractor import Hierarchy
from hx_graph import files_of, infer_types, read_model
from hx_projector import (
    MERGER,
    Original,
    assemble,
    carry_over,
    original_of,
    project as projected,
    project_file,
    read_original,
    with_file_claims,
)
from hx_sidecar_schema import (
    Confidence,
    HxError,
    ModelDoesNotRun,
    Sidecar,
    check_choice,
    collector_paused,
    refuse_existing,
)

if TYPE_CHECKING:
    import torch

    from hx_tracer import ExampleInputs


def project(
    model: str | Path,
    against: AnyModel = None,
    *,
    inputs: Any = None,
    input_shapes: Shapes | None = None,
    output: str | Path | None = None,
    min_confidence: Confidence = "low",
    overwrite: bool = False,
    progress: Progress = silent,
) -> ProjectReport:
    """Say which module made every node of a model that was exported elsewhere, and write its sidecar.

    Afterwards `hx.load(model)` is a hierarchy like that of any export.

    Examples:
        >>> import torch, hx
        >>> model, inputs = torch.nn.Linear(4, 3).eval(), (torch.ones(2, 4),)
        >>> _ = torch.onnx.export(model, inputs, "foreign.onnx", verbose=False)
        >>> hx.project("foreign.onnx", model, inputs=inputs, overwrite=True).covered_percent
        100.0

    Args:
        model: Any ONNX file.
        against: The PyTorch model, as `export` takes it: module tree, ports and the values of a run come from it. None:
            what the file itself says has to do, and torch is not needed.
        inputs: For that run, as the argument `args` of `export`. Without `against`, arrays or a file of them by the ONNX
            model's names, on which it is run. None: sizes of free axes on which it runs are found by trying.
        input_shapes: Shapes of inputs by name, whose values are not given.
        output: The sidecar; None for `MODEL_hierarchy.json` beside the model.
        min_confidence: What is known less surely is left to the root, and not covered.
        overwrite: Replace a sidecar that exists.
        progress: Told what goes on.

    Returns:
        What was found, and the file; the fields are told in `hx.records.project`.

    Raises:
        HxError: HX402 or HX306 before any work where the file could not be written; HX202 or HX204 if the model cannot
            be read, HX127 if the graph has other inputs than the module, HX406 for an unknown confidence,
            HX207, HX409 or HX110 for inputs that the file does not take.
    """
    check_choice("min_confidence", min_confidence, get_args(Confidence))
    given = [Path(inputs)] if isinstance(inputs, str | Path) else []
    path, target, typed_model = _settled(model, output, given, overwrite=overwrite)
    progress("Reading the model", 0, 0)
    graph = typed_model()
    progress("Finding the module of every node", 0, 0)
    notes: list[str] = []
    settings: Any = {"file": path.name, "min_confidence": min_confidence}
    if against is None:
        made = Hierarchy(path, project_file(graph, **settings), graph)
        found, refusal = tried_inputs(made, inputs, input_shapes, run=inputs is not None or bool(input_shapes))
        if refusal is not None and (inputs is not None or input_shapes):
            raise refusal
        sidecar = found.sidecar
        notes = [] if refusal is None else [f"No inputs were found on which it runs. {refusal.message}"]
    else:
        sidecar = _project_against(graph, against, inputs, input_shapes or {}, **settings)
    sidecar = _saved(sidecar, path, target)
    return ProjectReport(
        model=str(path),
        exporter=sidecar.generator.exporter,
        file=File.of(target),
        modules=len(sidecar.modules),
        **counts_of(sidecar),
        evidence=dict(Counter(node.known_by for node in sidecar.nodes)),
        notes=notes,
    )


@collector_paused()
def relink(
    model: str | Path,
    original: AnyHierarchy,
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> RelinkReport:
    """Carry the hierarchy of an export to what a tool made of it: optimised, fused, quantised or converted.

    Afterwards `hx.load(model)` is a hierarchy like that of any export.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),), "linear.onnx", overwrite=True)
        >>> hx.relink("linear.onnx", exported, "relinked.json", overwrite=True).covered_percent
        100.0

    Args:
        model: The ONNX file that the tool wrote.
        original: The export that it was made of.
        output: The sidecar; None for `MODEL_hierarchy.json` beside the model.
        overwrite: Replace a sidecar that exists.
        progress: Told what goes on.

    Returns:
        What was found, and the file; the fields are told in `hx.records.relink`.

    Raises:
        HxError: HX402 or HX306 before any work where the file could not be written; HX211 if the one was not made of
            the other; else as `load`.
    """
    export = opened(original)
    path, target, typed_model = _settled(model, output, export.files(), overwrite=overwrite)
    progress("Following the values", 0, 0)
    source, before = _without_graph(export), export.sidecar
    original_nodes, original_calls, cut_from = before.summary.nodes, statuses_of(before), before.cut_from
    transformed = typed_model()
    context, attribution = carry_over(transformed, source, before, file=path.name)
    del export, source, before  # a third of all memory, where nobody else has them
    made = assemble(transformed, context, attribution, file=path.name, merger=MERGER, cut_from=cut_from)
    sidecar = _saved(made, path, target)
    return RelinkReport(
        model=str(path),
        original=name_of(original),
        file=File.of(target),
        **counts_of(sidecar),
        original_nodes=original_nodes,
        original_calls=original_calls,
        spanning=[
            SpanningNode(
                output=node.output,
                op_type=node.op_type,
                owner=sidecar.tag(sidecar.calls[node.owner]),
                covers=[sidecar.tag(sidecar.calls[row]) for row in node.covers],
                originals=node.originals,
            )
            for node in sidecar.nodes
            if node.covers
        ],
        unsure=dict(Counter(node.confidence for node in sidecar.nodes if node.confidence != "high")),
    )


def _without_graph(export: Hierarchy) -> Original:
    """Return what relinking needs of an export; where its model was not read yet, without making the graph."""
    file = export.unread_file
    found = None if file is None else read_original(file, export.sidecar)
    return original_of(export.model) if found is None else found


def _settled(
    model: str | Path, output: str | Path | None, others: Iterable[Path], *, overwrite: bool
) -> tuple[Path, Path, Callable[[], ir.Model]]:
    """Return the paths of a model and of the sidecar that it will have, before any work; `others` are read too.

    And what reads the model, once, with the types that its file leaves out: calls need them.
    """
    path = Path(model)
    own = sidecar_path(path)
    target = Path(output) if output is not None else own
    read = cache(partial(read_model, path))

    def files() -> Iterator[Path]:
        yield from filter(own.__ne__, files_of(path, read()))  # its own sidecar is what a new one replaces

    def typed_model() -> ir.Model:
        infer_types(read())
        return read()

    refuse_existing([target], overwrite=overwrite, read=chain(files(), others))
    check_writable(target.parent)
    return path, target, typed_model


def _saved(sidecar: Sidecar, model: Path, target: Path) -> Sidecar:
    """Write the sidecar of a file that is there, and return it with what made it."""
    made = sidecar.with_file_digest(model).model_copy(update={"generator": provenance_of(sidecar.generator)})
    made.save(target)
    return made


def _project_against(graph: ir.Model, against: AnyModel, inputs: Any, shapes: Any, **settings: Any) -> Sidecar:
    from hx_tracer import example_record, module_records, observed_context

    loaded = model_spec(against).load()
    if inputs is None and loaded.example is None:  # those of the graph that `forward` names, if no axis is free
        known = module_records(loaded.module)[0].forward_args
        named = [(str(value.name), value.shape) for value in graph.graph.inputs if value.name in known]
        static = {name: list(shape.numpy()) for name, shape in named if shape is not None and shape.is_static()}
        shapes = static | shapes
    given = given_inputs(loaded, () if inputs is None else inputs, input_shapes=shapes)
    kwargs, tensors = _matched(graph, given, loaded.module)
    context = observed_context(loaded.module, kwargs, args=given.args)
    examples = {name: example_record(tensor) for name, tensor in tensors.items()}
    try:
        return projected(
            graph,
            with_file_claims(graph, context).model_copy(update={"examples": examples}),
            sources=("exporter", "witness", "parameter", "dataflow"),
            feeds={name: to_numpy(tensor) for name, tensor in tensors.items()},
            **settings,
        )
    except ModelDoesNotRun as error:
        hint = "Give inputs that it runs on; or project it without a PyTorch model, by what the file says."
        raise ModelDoesNotRun(error.message, hint=hint, argument="inputs") from error


def _matched(
    model: ir.Model, given: ExampleInputs, module: torch.nn.Module
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the named arguments without tensors that the graph lacks, and its inputs by their names there.

    Inputs are matched by name, with dots or underscores; where that fails, by position; HX127 where that fails too.
    """
    from hx_tracer import argument_paths

    names = [str(value.name) for value in model.graph.inputs if not value.is_initializer()]
    paths = dict(argument_paths(module, given.args, given.kwargs))
    by_name = {path.replace(".", "_"): path for path in paths} | {path: path for path in paths}
    if by_name.keys() >= set(names):
        used = {by_name[name].partition(".")[0] for name in names}
        lacking = {path.partition(".")[0] for path in paths} - used
        kwargs = {name: value for name, value in given.kwargs.items() if name not in lacking}
        return kwargs, {name: paths[by_name[name]] for name in names}
    if len(names) == len(paths):
        return given.kwargs, dict(zip(names, paths.values(), strict=True))
    message = f"The graph has the inputs {', '.join(map(repr, names))}, {type(module).__name__!r} was given {', '.join(map(repr, paths))}."
    hint = "Give the same inputs to both, named as forward() names them."
    raise HxError(message, code="HX127", hint=hint, argument="inputs")
