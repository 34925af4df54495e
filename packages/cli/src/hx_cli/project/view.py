"""What `hx project` shows a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hx_cli._text import percent, size

if TYPE_CHECKING:
    from hx.records.reports import ProjectReport
    from hx_cli._output import Output


def show_project(report: ProjectReport, output: Output) -> None:
    """Print how much of the model is known, and how."""
    from rich import box
    from rich.markup import escape
    from rich.panel import Panel
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("written by", escape(report.exporter) or "[dim]unknown[/]")
    grid.add_row(
        "nodes",
        f"[bold]{report.nodes}[/]  {percent(report.exact_percent)} exact, {percent(report.covered_percent)} covered",
    )
    by_count = sorted(report.evidence.items(), key=lambda item: -item[1])
    grid.add_row("known by", "; ".join(f"{amount} {escape(how)}" for how, amount in by_count))
    called = sum(amount for status, amount in report.calls.items() if status != "not_called")
    statuses = sorted(report.calls.items(), key=lambda item: -item[1])
    calls = ", ".join(f"{amount} {status.replace('_', ' ')}" for status, amount in statuses)
    grid.add_row("calls", f"[bold]{called}[/]  {calls}, in {report.modules} modules")
    grid.add_row("file", f"{escape(report.file.path)}  [dim]{size(report.file.size_bytes)}[/]")
    output.data(
        Panel(
            grid, title=f"[bold]{escape(report.model)}[/]", title_align="left", expand=False, box=box.ROUNDED
        )
    )
    output.note(f"[dim]Next:[/] hx tree {escape(report.model)}")
