"""`hx view`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import count, plural, size
from hx_cli._options import ANALYZE_RECORD, PROFILE_RECORD, VERIFY_RECORD, OnnxFile, Overwrite, flag, value
from hx_cli._output import Output
from hx_cli._paths import find_model
from hx_cli._widgets import boxed, escape, numbers_of

if TYPE_CHECKING:
    from hx.records.view import ViewReport


def view(
    out: Output,
    model: OnnxFile = None,
    model_explorer: Annotated[
        Path | None, value("DIR", "Write files for Model Explorer there; may be left out with --open.")
    ] = None,
    open: Annotated[bool, flag("Start Model Explorer on them, until Ctrl-C.", "--open")] = False,
    profile: Annotated[Path | None, value("FILE", PROFILE_RECORD)] = None,
    verify: Annotated[Path | None, value("FILE", VERIFY_RECORD)] = None,
    analyze: Annotated[Path | None, value("FILE", ANALYZE_RECORD)] = None,
    overwrite: Overwrite = False,
) -> int:
    """Write files with which Model Explorer shows a model as a tree of module calls, with numbers of nodes."""
    with out.progress() as progress:
        report = hx.view(
            find_model(model),
            model_explorer,
            profile=profile,
            verify=verify,
            analyze=analyze,
            open=open,
            overwrite=overwrite,
            progress=progress,
        )
    out.report(report, _show)
    return 0


def _show(report: ViewReport, output: Output) -> None:
    """Print what was written."""
    rows = {"nodes": f"{count(report.nodes)} in {plural(report.graphs, 'graph')}", "numbers": numbers_of(report)}
    if report.files:
        folder, amount = Path(report.files[0].path).parent, sum(file.size_bytes for file in report.files)
        rows["files"] = f"{len(report.files)} in {escape(str(folder))}  [dim]{size(amount)}[/]"
    output.data(boxed(report.model, rows))
    for note in report.notes:
        output.note(escape(note))
