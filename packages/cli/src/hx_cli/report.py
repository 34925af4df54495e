"""`hx report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import count, size
from hx_cli._options import AnalyzeRecord, OnnxFile, Overwrite, ProfileRecord, VerifyRecord, value
from hx_cli._output import Output
from hx_cli._paths import find_model
from hx_cli._widgets import boxed, escape

if TYPE_CHECKING:
    from hx.records.view import PageReport


def report(
    out: Output,
    model: OnnxFile = None,
    output: Annotated[Path, value("FILE.html", "The page; default: report.html.", "--output", "-o")] = Path(
        "report.html"
    ),
    profile: ProfileRecord = None,
    verify: VerifyRecord = None,
    analyze: AnalyzeRecord = None,
    overwrite: Overwrite = False,
) -> int:
    """Write a model as one HTML page: the tree of its module calls, all numbers, and what is known of each call."""
    with out.progress() as progress:
        record = hx.report(
            find_model(model),
            output,
            profile=profile,
            verify=verify,
            analyze=analyze,
            overwrite=overwrite,
            progress=progress,
        )
    out.report(record, _show)
    return 0


def _show(record: PageReport, output: Output) -> None:
    """Print what was written."""
    rows = {
        "nodes": count(record.nodes) + (" [dim]not shown: too many for a page[/]" if record.modules_only else ""),
        "calls": count(record.calls),
        "numbers": ", ".join(record.numbers) or "[dim]none were given[/]",
        "page": f"{escape(record.file.path)}  [dim]{size(record.file.size_bytes)}[/]",
    }
    output.data(boxed(record.model, rows))
    for note in record.notes:
        output.note(escape(note))
