"""`hx debug`: its options, and what it shows a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import plural, size
from hx_cli._options import Exporting, Loading, ModelSpec, NoVerify, Overwrite, flag, value
from hx_cli._output import Output
from hx_cli._widgets import escape

if TYPE_CHECKING:
    from hx.records.debug import DebugReport


def debug(
    exporting: Exporting,
    loading: Loading,
    out: Output,
    model: ModelSpec,
    output: Annotated[Path, value("SESSION", "The folder to make.", "--output", "-o")],
    with_weights: Annotated[
        bool, flag("Keep the numbers of weights and inputs; without it, shapes only.", "--with-weights")
    ] = False,
    overwrite: Overwrite = False,
    no_verify: NoVerify = False,
) -> int:
    """Export a model with and without hx, and put all that a maintainer would ask for into one folder.

    Exit code 0 where both exports exist and are alike, 1 where they are not, or one of them fails, 2 where the model cannot be loaded;
    the folder is there in each case.
    """
    with out.progress() as progress:
        report = hx.debug(
            loading.spec(model),
            output,
            **exporting.settings(),
            with_weights=with_weights,
            verify=not no_verify,
            overwrite=overwrite,
            progress=progress,
        )
    out.report(report, _show, folder=output)
    failure = report.failure
    if failure is None:
        return int(report.verdict != "same")
    if not failure.code:
        raise RuntimeError(f"{failure.type}: {failure.message}")
    raise hx.HxError(failure.message, code=failure.code, hint=failure.hint)


def _show(report: DebugReport, output: Output, *, folder: Path) -> None:
    """Print a session in a few lines."""
    style = "green" if report.verdict == "same" else "bold red"
    output.data(f"[{style}]{escape(report.summary)}[/]")
    for row in report.attempts:
        settings = f" {row.settings}" if row.settings else ""
        output.data(f"  {row.kind} export, {row.strategy}{settings}: {row.status}, {row.seconds:.1f} s")
    total = sum(file.size_bytes for file in report.files)
    output.data(f"{escape(str(folder))}: {plural(len(report.files), 'file')}, {size(total)}; read report.md first.")
