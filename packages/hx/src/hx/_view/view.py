"""A model as a viewer shows it, and the files that viewers load."""

from __future__ import annotations

import json
from pathlib import Path

from hx._models import AnyHierarchy, name_of, opened
from hx._progress import Progress, silent
from hx._view.numbers import cost_columns, error_columns, time_columns
from hx.files import check_writable
from hx.records.analyze import AnalyzeReport
from hx.records.report import File
from hx.records.verify import VerifyReport
from hx.records.view import ViewReport
from hx_profiler import Profile
from hx_sidecar_schema import atomic_folder, refuse_existing
from hx_viewer import MODEL_EXPLORER_NAMES, View, model_explorer_files


def view(
    model: AnyHierarchy,
    model_explorer: str | Path,
    *,
    profile: Profile | str | Path | None = None,
    verify: VerifyReport | str | Path | None = None,
    analyze: AnalyzeReport | str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ViewReport:
    """Write files with which Model Explorer shows a model as a tree of module calls, with numbers of nodes.

    Example:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> found = hx.view(exported, "explorer", analyze=hx.analyze(exported, detailed=True), overwrite=True)
        >>> [file.path for file in found.files][:2]
        ['explorer/confidence.json', 'explorer/graph.json']

    Args:
        model: An export, a projected or a relinked model, or the file of one.
        model_explorer: The folder to write to: `graph.json`, node data beside it, and for a relinked model `mapping.json`.
        profile: Time of the model's nodes: a profile, or the file of one: the JSON of `hx profile --json`.
        verify: Errors of its calls: a record, or the file of one.
        analyze: Cost of its nodes: a detailed record, or the file of one.
        overwrite: Replace such files that exist, and remove those that this model has not.
        progress: Told what goes on.

    Returns:
        The files, and what they hold; the fields are told in `hx.records.view`.

    Raises:
        HxError: HX402 or HX306 before any work where a file could not be written; HX307 or HX309 if a record cannot be read,
            HX310 if it is of another model; else as `load`.
    """
    folder = Path(model_explorer)
    possible = [folder / name for name in MODEL_EXPLORER_NAMES]
    refuse_existing(possible, overwrite=overwrite)
    check_writable(folder, "model_explorer")
    progress(f"Reading {name_of(model)}", 0, 0)
    shown = view_of(model, profile=profile, verify=verify, analyze=analyze)
    progress("Writing the files", 0, 0)
    files = model_explorer_files(shown)
    with atomic_folder(folder, "model_explorer") as staging:
        for name, content in files.items():
            (staging / name).write_text(json.dumps(content), encoding="utf-8")
    for path in possible:
        if path.name not in files:  # of the model that was there before
            path.unlink(missing_ok=True)
    return ViewReport(
        model=name_of(model),
        files=[File.of(folder / name) for name in sorted(files)],
        graphs=len(shown.graphs),
        nodes=len(shown.sidecar.nodes),
        numbers=[column.name for column in shown.columns],
        notes=list(dict.fromkeys(note for column in shown.columns for note in column.notes)),
    )


def view_of(
    model: AnyHierarchy,
    *,
    profile: Profile | str | Path | None = None,
    verify: VerifyReport | str | Path | None = None,
    analyze: AnalyzeReport | str | Path | None = None,
) -> View:
    """Return a model with the numbers that records say of it; see `view` for what is raised."""
    hierarchy = opened(model)
    columns = [
        *(time_columns(hierarchy.sidecar, profile) if profile is not None else ()),
        *(error_columns(hierarchy.sidecar, verify) if verify is not None else ()),
        *(cost_columns(hierarchy.sidecar, analyze) if analyze is not None else ()),
    ]
    return View(hierarchy, columns)
