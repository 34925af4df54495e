"""A model in stages that run one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hx._models import AnyHierarchy, check_loads, name_of, opened
from hx._progress import Progress, each, silent
from hx._split.compare import compared_stages
from hx._split.rows import loads_of, model_costs, node_times, notes_of, stage_rows
from hx._split.write import WHOLE, write_annotated, write_folder
from hx.files import check_writable, model_files, onnx_path
from hx.records.split import SplitReport
from hx_sidecar_schema import HxError, check_choice, refuse_existing

if TYPE_CHECKING:
    from hx_profiler import Profile


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
        refuse_existing(model_files(onnx_path(target)), overwrite=overwrite, read=read)
    elif target.is_file() or (target.is_dir() and any(target.iterdir())):
        refuse_existing([target], overwrite=overwrite)
    check_writable(target.parent if annotate else target)
    time = node_times(hierarchy, profile) if profile is not None else None

    from hx_surgery import Plan

    progress("Counting what nodes compute", 0, 0)
    cost = model_costs(hierarchy)
    progress("Cutting the model", 0, 0)
    plan = Plan(hierarchy)
    loads = loads_of(plan, cost, time, by)
    places = plan.places_at(rows) if at else plan.places_for(into or 0, loads, cost.size_bytes)
    stages = plan.cut(places, stem)
    rows = stage_rows(plan, stages, cost, time)
    notes = notes_of(cost, rows)
    if annotate:
        return write_annotated(plan, stages, rows, target, model, None if at else by, notes)
    names = [name for row in rows for name in model_files(target / row.file)]
    written = [*names, target / "stages.json", target / WHOLE, target / f"{stem}_stages.data"]
    refuse_existing(written, overwrite=True, read=read)
    compared = None
    if verify:
        stages, compared, reason = compared_stages(hierarchy, stages, progress)
        notes += [f"Not compared: {reason}"] if reason else []
    else:
        for stage in each(stages, "Loading stages in ONNX Runtime", progress):
            check_loads(hierarchy, stage.model)
    return write_folder(plan, stages, rows, target, model, None if at else by, notes, compared)


def _criterion(into: int | None, at: str | Sequence[str], by: str | None, profile: object) -> str:
    if (into is None) == (not at):
        hint = "Give the number of stages, into='N', or the calls that they begin with, at='PATTERN'."
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
