"""`hx report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import hx
from hx.text import count, size
from hx_cli._options import ANALYZE_RECORD, PROFILE_RECORD, VERIFY_RECORD, OnnxFile, Overwrite, value
from hx_cli._output import Output
from hx_cli._paths import find_model
from hx_cli._widgets import boxed, escape, numbers_of

if TYPE_CHECKING:
    from hx.records.view import PageReport


def _pair(text: str) -> Any:
    return value("FILE", f"{text} Given twice: the second is of what it is compared with.")


def report(
    out: Output,
    model: OnnxFile = None,
    output: Annotated[Path, value("FILE.html", "The page; default: report.html.", "--output", "-o")] = Path(
        "report.html"
    ),
    profile: Annotated[list[Path] | None, _pair(PROFILE_RECORD)] = None,
    verify: Annotated[list[Path] | None, _pair(VERIFY_RECORD)] = None,
    analyze: Annotated[list[Path] | None, _pair(ANALYZE_RECORD)] = None,
    against: Annotated[
        Path | None, value("OTHER.onnx", "Compare with this model: what it was quantised from, or was before.")
    ] = None,
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
            against=against,
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
        "numbers": numbers_of(record),
        "against": None if record.against is None else escape(record.against),
        "page": f"{escape(record.file.path)}  [dim]{size(record.file.size_bytes)}[/]",
    }
    output.data(boxed(record.model, rows))
    for note in record.notes:
        output.note(escape(note))
