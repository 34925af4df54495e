"""A folder with both exports of a model, made from one call."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hx._debug.journal import Journal
from hx._debug.run import Session, run_session
from hx._debug.write import write_session
from hx._export.request import ExportRequest
from hx._model_spec import AnyModel, model_spec
from hx._progress import Progress, silent
from hx._redacted import model_folders, redactor
from hx.files import check_writable
from hx.records.debug import DebugReport
from hx_sidecar_schema import HxError, atomic_folder, refuse_existing


def debug(
    model: AnyModel,
    output: str | Path,
    args: Any = (),
    *,
    with_weights: bool = False,
    verify: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
    **options: Any,
) -> DebugReport:
    """Export a model with and without hx, and put all that a maintainer would ask for into one folder.

    The folder is written in each case: where the exports differ, where one of them fails, where there is no model.

    Example:
        >>> import torch, hx
        >>> hx.debug(torch.nn.Linear(4, 3), "session", (torch.ones(2, 4),), overwrite=True).verdict
        'same'

    Args:
        model: As of `export`.
        output: The folder to make.
        args: As of `export`.
        with_weights: Keep the numbers of weights and inputs; without it, shapes only.
        verify: Compare the outputs with PyTorch's.
        overwrite: Replace a folder that exists.
        progress: Told what goes on.
        **options: Further settings of `export`: `kwargs`, `dynamic`, `dynamic_axes`, `dynamic_shapes`, `input_shapes`,
            `input_names`, `output_names`, `opset_version`, `strategy`, `cross_check`, `torch_nn`, `min_confidence`,
            `remedies`.

    Returns:
        What happened; `verdict` says in a word how the exports compare, `failure` why there was nothing to export.

    Raises:
        HxError: HX402 if the folder exists, HX306 if it cannot be written.
        TypeError: If `options` holds another name.
    """
    request = ExportRequest(model_spec(model), args, **options)
    folder = Path(output)
    refuse_existing([folder], overwrite=overwrite)
    check_writable(folder.parent)
    before = _files_of(folder) if folder.exists() else set[str]()
    places = model_folders(request.pytorch.model)
    journal = Journal(progress, redactor(places, numbers=not with_weights))
    with TemporaryDirectory() as reports:
        session = Session(request, journal, redactor(places, numbers=False), Path(reports))
        run_session(session, verify=verify)
        with atomic_folder(folder) as staging:
            report = write_session(session, staging, folder, with_weights=with_weights)
    for name in before - {"session.json", *(file.path for file in report.files)}:
        (folder / name).unlink(missing_ok=True)
    return report


def _files_of(folder: Path) -> set[str]:
    """Return the files of the session that is in a folder.

    Raises:
        HxError: HX402 if there is something else: it is not replaced, whatever the caller allows.
    """
    try:
        session = json.loads((folder / "session.json").read_bytes())
        return {Path(file["path"]).name for file in session["files"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        if folder.is_dir() and not any(folder.iterdir()):
            return set()
        raise HxError(
            f"Output {str(folder)!r} exists and is no session of hx.",
            code="HX402",
            hint="Name another output; only a session is replaced.",
            argument="output",
        ) from error
