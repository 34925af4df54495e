"""Stages as files, or as annotations of one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hx._models import AnyHierarchy, check_loads, name_of
from hx.files import data_path, is_part_as_written, sidecar_path
from hx.records.split import SplitReport
from hx_sidecar_schema import HxError, atomic_folder

if TYPE_CHECKING:
    from hx_surgery import Plan, Stage, StageModel, Stages

LAYER = "layer_ann"
"""Metadata of nodes that ONNX Runtime (1.31) assigns devices by, with `session.layer_assignment_settings`."""
WHOLE = "whole.json"


def write_folder(
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
    declared = [str(value.name) for value in plan.model.graph.inputs]
    record = Stages(
        model=f"{stem}.onnx",
        graph_digest=info.graph_digest,
        sidecar=WHOLE,
        data=data,
        by=by,
        inputs=[row.name for row in info.inputs],
        outputs=[row.name for row in info.outputs],
        declared=declared if len(declared) > len(info.inputs) else [],
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


def write_annotated(
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
