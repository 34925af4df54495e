"""A model as a viewer shows it, and the files that viewers load."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic_core import to_json

from hx._models import AnyHierarchy, name_of, opened
from hx._progress import Progress, silent
from hx._view.numbers import Records
from hx.files import check_writable
from hx.records.analyze import AnalyzeReport
from hx.records.report import File
from hx.records.verify import VerifyReport
from hx.records.view import ViewReport
from hx_profiler import Profile
from hx_sidecar_schema import HxError, atomic_folder, collector_paused, refuse_existing
from hx_viewer import (
    MODEL_EXPLORER_NAMES,
    View,
    check_model_explorer,
    is_model_explorer_file,
    model_explorer_files,
    start_model_explorer,
)


def view(
    model: AnyHierarchy,
    model_explorer: str | Path | None = None,
    *,
    profile: Profile | str | Path | None = None,
    verify: VerifyReport | str | Path | None = None,
    analyze: AnalyzeReport | str | Path | None = None,
    open: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ViewReport:
    """Write files with which Model Explorer shows a model as a tree of module calls, with numbers of nodes.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> found = hx.view(exported, "explorer", analyze=hx.analyze(exported, detailed=True), overwrite=True)
        >>> [file.path for file in found.files][:2]
        ['explorer/confidence.json', 'explorer/graph.json']

    Args:
        model: An export, a projected or a relinked model, or the file of one.
        model_explorer: The folder to write to: `graph.json`, node data beside it, and for a relinked model `mapping.json`. None, to `open` it
            only: a temporary folder.
        profile: Time of the model's nodes: a profile, or the file of one: the JSON of `hx profile --json`.
        verify: Errors of its calls: a record, or the file of one.
        analyze: Cost of its nodes: a detailed record, or the file of one.
        open: Start Model Explorer on these files, and return when it is stopped.
        overwrite: Replace such files that exist, and remove those that this model has not.
        progress: Told what goes on.

    Returns:
        The files, none where the folder was a temporary one, and what they hold; the fields are told in `hx.records.view`.

    Raises:
        HxError: HX402, HX408 or HX306 before any work where a file could not be written; HX307 or HX309 if a record cannot be read,
            HX310 if it is of another model, HX214 if Model Explorer is to be opened and not installed, HX405 if there is nothing to do;
            else as `load`.
    """
    if model_explorer is None and not open:
        message = f"Nothing is asked for of {name_of(model)!r}."
        raise HxError(message, code="HX405", hint="Name a folder for the files.", argument="model_explorer")
    if open:
        check_model_explorer()
    with ExitStack() as kept:
        folder = Path(model_explorer or kept.enter_context(TemporaryDirectory(prefix="hx-view-")))
        report = _write(model, folder, Records(profile, verify, analyze), overwrite, progress)
        if open:
            start_model_explorer(folder, [Path(file.path).name for file in report.files])
    return report if model_explorer is not None else report.model_copy(update={"files": []})


def _write(model: AnyHierarchy, folder: Path, records: Records, overwrite: bool, progress: Progress) -> ViewReport:
    """Write the files of Model Explorer into a folder."""
    possible = [folder / name for name in MODEL_EXPLORER_NAMES]
    refuse_existing(possible, overwrite=True, read=records.paths)
    refuse_existing(possible, overwrite=overwrite)
    check_writable(folder, "model_explorer")
    with collector_paused():
        progress(f"Reading {name_of(model)}", 0, 0)
        shown = view_of(model, records)
        progress("Writing the files", 0, 0)
        files = model_explorer_files(shown)
        with atomic_folder(folder, "model_explorer") as staging:
            for name, content in files.items():
                (staging / name).write_bytes(to_json(content))
    for path in possible:  # what is there of the model that was there before
        if path.name not in files and path.is_file() and is_model_explorer_file(path):
            path.unlink()
    return ViewReport(
        **shown_of(model, shown), files=[File.of(folder / name) for name in sorted(files)], graphs=len(shown.graphs)
    )


def shown_of(model: AnyHierarchy, shown: View) -> dict[str, Any]:
    """Return the fields of a `ShownReport`."""
    return {
        "model": name_of(model),
        "nodes": len(shown.sidecar.nodes),
        "numbers": [column.name for column in shown.columns],
        "notes": list(dict.fromkeys(note for column in shown.columns for note in column.notes)),
    }


def view_of(model: AnyHierarchy, records: Records) -> View:
    """Return a model with the numbers that records say of it; see `view` for what is raised."""
    hierarchy = opened(model)
    return View(hierarchy, records.columns(hierarchy.sidecar))
