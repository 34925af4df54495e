"""A model in stages that run one after the other, and the whole model of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hx._analyze import measured_shapes
from hx._models import AnyHierarchy, name_of, opened
from hx._progress import Progress, each, silent
from hx._tap import check_loads
from hx._view.numbers import time_columns
from hx.files import check_writable, data_path, is_part_as_written, onnx_path, sidecar_path
from hx.records.report import File
from hx.records.split import JoinReport, SplitReport
from hx_sidecar_schema import HxError, MissingKernel, atomic_folder, check_choice, graph_digest, refuse_existing

if TYPE_CHECKING:
    from hx_extractor import Hierarchy
    from hx_profiler import Profile
    from hx_projector import ModelCost
    from hx_surgery import Plan, Stage, StageModel, Stages

LAYER = "layer_ann"
"""Metadata of nodes that ONNX Runtime (1.31) assigns devices by, with `session.layer_assignment_settings`."""
WHOLE = "whole.json"


def split(
    model: AnyHierarchy,
    into: int | None = None,
    output: str | Path | None = None,
    *,
    at: str | Sequence[str] = (),
    by: str | None = None,
    profile: Profile | str | Path | None = None,
    annotate: bool = False,
    verify: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SplitReport:
    """Cut a model between module calls into models that run one after the other, for a pipeline or several devices.

    They connect by the names of values; `stages.json` lists them. Weights lie in one file, each once.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(4))), (torch.ones(2, 64),))
        >>> found = hx.split(exported, 2, "stages", overwrite=True)
        >>> [(stage.begins, stage.weight_bytes) for stage in found.stages], found.compared
        ([('', 33280), ('2', 33280)], True)

    Args:
        model: An export, or the file of one.
        into: Number of stages, as even as they can be; those over whose borders least goes.
        output: The folder. None: `NAME_stages` in the current folder. With `annotate` the file, `NAME_annotated.onnx`.
        at: Instead of `into`, patterns of calls that stages begin with.
        by: What is balanced: `weights` (bytes, those of several stages in each), `macs` or `time`. None: `time` with a profile,
            else `weights`.
        profile: Time of the model's nodes: a profile, or the file of one: the JSON of `hx profile --json`.
        annotate: Write one model whose nodes name their stage, for ONNX Runtime's `session.layer_assignment_settings`.
        verify: Compare every stage with the whole model on the recorded inputs, and record what each gets, so that it runs alone.
        overwrite: Replace files that exist, and remove those of stages that there are no more.
        progress: Told what goes on.

    Returns:
        The stages; the fields are told in `hx.records.split`.

    Raises:
        HxError: HX405 if not exactly one of `into` and `at` is given, or `time` without a profile; HX406 for a number or criterion that there is
            not; HX401 if a pattern matches nothing; HX416 if the model cannot be cut so; HX307 or HX310 for a profile that cannot be read or is of
            another model; HX402, HX408 or HX306 before any work where files could not be written; else as `load`.
    """
    by = _criterion(into, at, by, profile)
    progress(f"Reading {name_of(model)}", 0, 0)
    hierarchy = opened(model)
    stem = (hierarchy.path or Path(hierarchy.sidecar.model.file)).stem
    rows = [call.row for call in hierarchy.calls(at)] if at else []
    target = Path(output) if output is not None else Path(f"{stem}_annotated.onnx" if annotate else f"{stem}_stages")
    read = [*hierarchy.files(), *([Path(profile)] if isinstance(profile, str | Path) else [])]
    if annotate:
        refuse_existing(_files(onnx_path(target)), overwrite=overwrite, read=read)
    elif target.is_file() or (target.is_dir() and any(target.iterdir())):
        refuse_existing([target], overwrite=overwrite)
    check_writable(target.parent if annotate else target)
    time = _times(hierarchy, profile) if profile is not None else None

    from hx_surgery import Plan

    progress("Counting what nodes compute", 0, 0)
    cost = _cost(hierarchy)
    progress("Cutting the model", 0, 0)
    plan = Plan(hierarchy)
    loads = _loads(plan, cost, time, by)
    places = plan.places_at(rows) if at else plan.places_for(into or 0, loads, cost.size_bytes)
    stages = plan.cut(places, stem)
    rows = _rows(plan, stages, cost, time)
    notes = _notes(cost, rows)
    if annotate:
        return _annotated(plan, stages, rows, target, model, None if at else by, notes)
    names = [name for row in rows for name in _files(target / row.file)]
    written = [*names, target / "stages.json", target / WHOLE, target / f"{stem}_stages.data"]
    refuse_existing(written, overwrite=True, read=read)
    compared = None
    if verify:
        stages, compared, reason = _compared(hierarchy, stages, progress)
        notes += [f"Not compared: {reason}"] if reason else []
    else:
        for stage in each(stages, "Loading stages in ONNX Runtime", progress):
            check_loads(hierarchy, stage.model)
    return _written(plan, stages, rows, target, model, None if at else by, notes, compared)


def join(
    stages: str | Path, output: str | Path | None = None, *, overwrite: bool = False, progress: Progress = silent
) -> JoinReport:
    """Put stages together again: the model that was split, with its sidecar; a stage may have been changed inside.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(4))), (torch.ones(2, 64),))
        >>> _ = hx.split(exported, 2, "stages", overwrite=True)
        >>> hx.join("stages", "whole.onnx", overwrite=True).same
        True

    Args:
        stages: The folder, or its `stages.json`.
        output: The file. None: the name that the model had, in the current folder.
        overwrite: Replace files that exist.
        progress: Told what goes on.

    Returns:
        What was written; the fields are told in `hx.records.split`.

    Raises:
        HxError: HX311 if `stages.json` cannot be read, HX312 if stages do not fit each other, HX402, HX408 or HX306 where a file could not be
            written; else as `load`, of a stage.
    """
    from hx_extractor import Hierarchy, save_model
    from hx_graph import all_nodes
    from hx_surgery import Joined

    progress(f"Reading {stages}", 0, 0)
    joined = Joined(Path(stages))
    target = onnx_path(Path(output) if output is not None else Path(Path(joined.record.model).name))
    refuse_existing(_files(target), overwrite=overwrite, read=joined.files())
    check_writable(target.parent)
    check_loads(Hierarchy(None, joined.sidecar, joined.model), joined.model)
    save_model(joined.model, joined.sidecar, target, "copy", joined.folder)
    return JoinReport(
        model=str(stages),
        file=File.of(target),
        stages=len(joined.stages),
        nodes=sum(1 for _ in all_nodes(joined.model)),
        same=graph_digest(joined.model) == joined.record.graph_digest,
    )


def _criterion(into: int | None, at: str | Sequence[str], by: str | None, profile: object) -> str:
    if (into is None) == (not at):
        hint = "Give the number of stages, or patterns of the calls that they begin with."
        what = (
            "Nothing says where to cut." if into is None else "Both a number of stages and places to cut at are given."
        )
        raise HxError(what, code="HX405", hint=hint, argument="into")
    if into is not None and into < 2:
        raise HxError(
            f"A model cannot be cut into {into} stages.", code="HX406", hint="Give 2 or more.", argument="into"
        )
    by = by or ("weights" if profile is None else "time")
    check_choice("by", by, ("weights", "macs", "time"))
    if by == "time" and profile is None:
        hint = "Give what `hx profile --json` printed."
        raise HxError("Time is to be balanced, and there is no profile.", code="HX405", hint=hint, argument="profile")
    return by


def _files(model: Path) -> list[Path]:
    return [model, sidecar_path(model), data_path(model)]


def _cost(hierarchy: Hierarchy) -> ModelCost:
    from hx_projector import model_cost

    shapes = {i.name: i.example.shape for i in hierarchy.sidecar.model.inputs if i.example is not None}
    return model_cost(hierarchy.model, {}, shapes, partial(measured_shapes, hierarchy))


def _times(hierarchy: Hierarchy, profile: Profile | str | Path) -> dict[tuple[str, str], float]:
    """Return the microseconds of nodes; what a call has beside those of its nodes is even over them."""
    sidecar = hierarchy.sidecar
    column = time_columns(sidecar, profile)[0]
    found = {node.key: column.nodes.get(row, 0.0) for row, node in enumerate(sidecar.nodes)}
    owned: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for node in sidecar.nodes:
        owned[node.owner].append(node.key)
    for row, keys in owned.items():
        rest = max((column.own or {}).get(row, 0.0) - sum(found[key] for key in keys), 0.0)
        for key in keys:
            found[key] += rest / len(keys)
    return found


def _by_node(plan: Plan, numbers: Mapping[tuple[str, str], float]) -> list[float]:
    """Return numbers of the main graph's nodes, those of their bodies included."""
    from hx_graph import nodes_below, output_of

    keys = ([("", output_of(node)), *((p, output_of(n)) for p, n in nodes_below(node))] for node in plan.timeline.nodes)
    return [sum(numbers.get(key, 0) for key in below) for below in keys]


def _loads(plan: Plan, cost: ModelCost, time: Mapping[tuple[str, str], float] | None, by: str) -> list[int] | None:
    if by == "weights":
        return None
    if by == "macs":
        return [int(macs) for macs in _by_node(plan, _macs(cost))]
    return [round(us * 1000) for us in _by_node(plan, time or {})]


def _macs(cost: ModelCost) -> dict[tuple[str, str], float]:
    return {(row.graph, row.output): row.arithmetic.macs for row in cost.nodes}


def _rows(
    plan: Plan, stages: Sequence[StageModel], cost: ModelCost, time: Mapping[tuple[str, str], float] | None
) -> list[Stage]:
    """Return what `stages.json` says of stages."""
    from hx_graph import dims_of, dtype_name
    from hx_surgery import Stage, Wire

    sidecar, steps = plan.sidecar, plan.timeline.steps
    macs, times = _by_node(plan, _macs(cost)), _by_node(plan, time or {})
    gives = {str(value.name): stage.name for stage in stages for value in stage.model.graph.outputs}
    ends = {str(value.name) for value in plan.model.graph.outputs}
    given = {stage.name: [v for v in stage.model.graph.inputs if not v.is_initializer()] for stage in stages}
    readers: defaultdict[str, list[str]] = defaultdict(list)
    for name, values in given.items():
        for value in values:
            readers[str(value.name)].append(name)

    def wire(value: Any) -> Wire:
        name = str(value.name)
        return Wire(
            name=name,
            dtype=dtype_name(value),
            shape=dims_of(value.shape),
            size_bytes=cost.size_bytes.get(name),
            source=None if value.is_graph_input() and name not in gives else gives.get(name),
            readers=readers[name],
            output=name in ends,
        )

    def called(row: int) -> str:
        call = sidecar.calls[row]
        name = sidecar.module_of(call).fqn or sidecar.tag(call)
        return f"{name}@{call.index}" if call.index and sidecar.module_of(call).fqn else name

    def held(begun: range) -> list[str]:
        ends = sidecar.subtree_end
        whole = {row for row in begun if ends[row] <= begun.stop and sidecar.calls[row].status != "not_called"}
        return [called(row) for row in sorted(whole) if sidecar.calls[row].parent not in whole]

    def begins(begun: range) -> str:
        return (
            called(begun.start) if begun and begun.start and sidecar.calls[begun.start].status != "not_called" else ""
        )

    return [
        Stage(
            name=stage.name,
            file=stage.sidecar.model.file,
            begins=begins(stage.calls),
            calls=held(stage.calls),
            nodes=len(stage.model.graph),
            weight_bytes=sum(
                {
                    name: size
                    for step, weights in zip(steps, plan.weights, strict=True)
                    if step in stage.steps
                    for name, size in weights.items()
                }.values()
            ),
            macs=int(sum(number for step, number in zip(steps, macs, strict=True) if step in stage.steps)),
            time_us=None
            if time is None
            else round(sum(number for step, number in zip(steps, times, strict=True) if step in stage.steps), 3),
            inputs=[wire(value) for value in given[stage.name]],
            outputs=[wire(value) for value in stage.model.graph.outputs],
        )
        for stage in stages
    ]


def _notes(cost: ModelCost, rows: Sequence[Stage]) -> list[str]:
    unknown = sum(bool(row.arithmetic.unknown) for row in cost.nodes)
    unsized = sorted({wire.name for row in rows for wire in row.inputs if wire.size_bytes is None})
    notes = [f"Multiply-accumulates of {unknown} nodes are unknown, and in no number."] if unknown else []
    return notes + ([f"How large {', '.join(unsized)} is is not known."] if unsized else [])


def _compared(
    hierarchy: Hierarchy, stages: Sequence[StageModel], progress: Progress
) -> tuple[list[StageModel], bool | None, str]:
    """Return stages with examples of their inputs, whether each gives the whole model's values, and why that is not known."""
    from dataclasses import replace

    from hx_graph import drawn_values, example_record, make_session, run_session

    progress("Running the whole model", 0, 0)
    names = {str(v.name) for stage in stages for v in stage.model.graph.inputs if not v.is_initializer()}
    names |= {str(v.name) for stage in stages for v in stage.model.graph.outputs}  # weights among them
    reason = ""
    arrays: dict[str, Any] = {}
    try:
        arrays = dict(hierarchy.example_inputs())
        arrays |= hierarchy.compute(sorted(names - arrays.keys()))
    except HxError as error:
        reason = error.message
    drawn = drawn_values(hierarchy.model.graph)
    done: list[StageModel] = []
    equal = True
    for stage in each(stages, "Comparing stages", progress):
        inputs = [str(value.name) for value in stage.model.graph.inputs if not value.is_initializer()]
        try:
            session = make_session(stage.model, hierarchy.folder)
        except MissingKernel as error:
            if not hierarchy.lacks_kernel:
                raise
            reason = error.message
        else:
            if not reason:
                found = run_session(session, {name: arrays[name] for name in inputs})
                equal &= all(_same(array, arrays[name]) for name, array in found.items() if name not in drawn)
        records = {
            name: example_record(arrays[name]) for name in inputs if name in arrays and _is_recordable(arrays[name])
        }
        info = stage.sidecar.model
        examples = [row.model_copy(update={"example": row.example or records.get(row.name)}) for row in info.inputs]
        sidecar = stage.sidecar.model_copy(update={"model": info.model_copy(update={"inputs": examples})})
        done.append(replace(stage, sidecar=sidecar))
    return done, None if reason else equal, reason


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if one is None or other is None:
        return one is other
    equal = one.dtype == other.dtype and one.shape == other.shape
    return equal and (one.tolist() == other.tolist() if one.dtype.kind in "OSU" else one.tobytes() == other.tobytes())


def _is_recordable(array: Any) -> bool:
    return array is not None and not isinstance(array, list) and array.dtype.kind not in "OSU"


def _written(
    plan: Plan,
    stages: Sequence[StageModel],
    rows: list[Stage],
    folder: Path,
    model: AnyHierarchy,
    by: str | None,
    notes: list[str],
    compared: bool | None,
) -> SplitReport:
    from hx_surgery import Stages, has_large_weights, write_stages

    info = plan.sidecar.model
    stem = rows[0].file.removesuffix(f"_{rows[0].name}.onnx")
    data = f"{stem}_stages.data" if any(has_large_weights(stage.model) for stage in stages) else None
    record = Stages(
        model=f"{stem}.onnx",
        graph_digest=info.graph_digest,
        sidecar=WHOLE,
        data=data,
        by=by,
        inputs=[row.name for row in info.inputs],
        outputs=[row.name for row in info.outputs],
        stages=rows,
    )
    before = _former(folder)
    with atomic_folder(folder) as staging:
        write_stages(staging, stages, record, plan.sidecar)
    kept = {row.file for row in rows} | {sidecar_path(Path(row.file)).name for row in rows} | {data}
    removed = [path for path in before if path.name not in kept and path.exists()]
    read = {path.resolve() for path in plan.hierarchy.files()}
    removed = [path for path in removed if path.resolve() not in read]
    for path in removed:
        path.unlink()
    files = [folder / row.file for row in rows] + ([folder / data] if data else [])
    return SplitReport(
        model=name_of(model),
        output=str(folder),
        annotated=False,
        by=by,
        stages=rows,
        size_bytes=sum(path.stat().st_size for path in files),
        compared=compared,
        notes=notes,
        removed=[path.name for path in removed],
    )


def _former(folder: Path) -> list[Path]:
    """Return the files that an earlier run wrote into a folder: stages that are there as they were written, and their data."""
    from hx_surgery import Stages

    try:
        record: Stages = Stages.load(folder)
    except HxError:  # there is none, or somebody else's
        return []
    models = [folder / Path(stage.file).name for stage in record.stages]
    found = [path for model in models if is_part_as_written(model) for path in (model, sidecar_path(model))]
    return [*found, folder / Path(record.data).name] if record.data and len(found) == 2 * len(models) else found


def _annotated(
    plan: Plan,
    stages: Sequence[StageModel],
    rows: list[Stage],
    target: Path,
    model: AnyHierarchy,
    by: str | None,
    notes: list[str],
) -> SplitReport:
    from hx_extractor import save_model
    from hx_graph import nodes_below

    copy = plan.model.clone()
    for node, step in zip(copy.graph, plan.timeline.steps, strict=True):
        name = next(stage.name for stage in stages if step in stage.steps)
        for one in (node, *(inner for _, inner in nodes_below(node))):
            one.metadata_props[LAYER] = name
    check_loads(plan.hierarchy, copy)
    save_model(copy, plan.sidecar, target, "copy", plan.hierarchy.folder)
    files = [path for path in (target, data_path(target)) if path.exists()]
    return SplitReport(
        model=name_of(model),
        output=str(target),
        annotated=True,
        by=by,
        stages=[row.model_copy(update={"file": target.name}) for row in rows],
        size_bytes=sum(path.stat().st_size for path in files),
        compared=None,
        notes=notes,
        removed=[],
    )
