"""What `hx debug` shows a person: the verdict, and where the rest is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hx_cli._text import plural, size

if TYPE_CHECKING:
    from hx.records.debug import DebugReport
    from hx_cli._output import Output


def show_debug(report: DebugReport, folder: str, output: Output) -> None:
    """Print a session in a few lines."""
    from rich.markup import escape

    style = "green" if report.verdict == "same" else "bold red"
    output.data(f"[{style}]{escape(report.summary)}[/]")
    for row in report.attempts:
        settings = f" {row.settings}" if row.settings else ""
        output.data(f"  {row.kind} export, {row.strategy}{settings}: {row.status}, {row.seconds:.1f} s")
    total = sum(file.size_bytes for file in report.files)
    output.data(
        f"{escape(folder)}: {plural(len(report.files), 'file')}, {size(total)}; read report.md first."
    )
