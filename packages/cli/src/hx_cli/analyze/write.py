"""A report as text: tables for a person, one JSON record, or CSV; on stdout or in a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hx.files import write_text
from hx_cli._output import PIPE_WIDTH
from hx_cli.analyze.view import analyze_parts

if TYPE_CHECKING:
    from hx.records.analyze import AnalyzeReport
    from hx_cli._output import Output


def write_report(report: AnalyzeReport, kind: str, path: Path) -> None:
    """Write a report whole or not at all.

    Args:
        report: It.
        kind: `table`, `json` or `csv`.
        path: Of the file.

    Raises:
        HxError: HX306 if it cannot be written.
    """
    if kind == "json":
        text = report.model_dump_json(indent=2) + "\n"
    elif kind == "csv":
        text = as_csv(report)
    else:
        text = _as_tables(report)
    write_text(path, text, overwrite=True)


def print_report(report: AnalyzeReport, kind: str, output: Output) -> None:
    """Print a report on stdout."""
    if kind == "json":
        output.json(report)
    elif kind == "csv":
        output.stdout.file.write(as_csv(report))
    else:
        output.data(*analyze_parts(report, output.stdout.width), asked=True)


def as_csv(report: AnalyzeReport) -> str:
    """Return the calls as rows, or with --detailed the nodes."""
    rows: list[Mapping[str, object]]
    if report.node_list is not None:
        rows = [row.model_dump() for row in report.node_list]
    else:
        rows = []
        for entry in report.calls:
            row = entry.model_dump(exclude={"total", "own"})
            if entry.total is not None and entry.own is not None:
                row |= {k: v for k, v in entry.total.model_dump().items() if k != "nodes"}
                row |= {f"own_{k}": v for k, v in entry.own.model_dump().items() if k != "nodes"}
            rows.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _as_tables(report: AnalyzeReport) -> str:
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, width=PIPE_WIDTH, color_system=None)
    for part in analyze_parts(report, PIPE_WIDTH):
        console.print(part, highlight=False)
    return text.getvalue()
