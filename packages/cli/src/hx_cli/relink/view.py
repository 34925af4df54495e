"""What `hx relink` shows a person."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hx_cli._text import percent, size

if TYPE_CHECKING:
    from hx.records.relink import RelinkReport
    from hx_cli._output import Output


def show_relink(report: RelinkReport, output: Output) -> None:
    """Print how much of the transformed model is known, and which nodes span modules."""
    from rich import box
    from rich.markup import escape
    from rich.panel import Panel
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("made of", f"{escape(report.original)}  [dim]{report.original_nodes} nodes[/]")
    grid.add_row(
        "nodes",
        f"[bold]{report.nodes}[/]  {percent(report.exact_percent)} exact, {percent(report.covered_percent)} covered",
    )
    if report.spanning:
        kinds = Counter(node.op_type for node in report.spanning).most_common()
        names = ", ".join(f"{amount} {escape(kind)}" for kind, amount in kinds)
        grid.add_row("spanning", f"[bold]{len(report.spanning)}[/]  stand for several calls: {names}")
    before, now = (calls.get("extractable", 0) for calls in (report.original_calls, report.calls))
    grid.add_row("calls", f"[bold]{now}[/]  of {before} can still be cut out")
    grid.add_row("file", f"{escape(report.file.path)}  [dim]{size(report.file.size_bytes)}[/]")
    output.data(
        Panel(
            grid, title=f"[bold]{escape(report.model)}[/]", title_align="left", expand=False, box=box.ROUNDED
        )
    )
    output.note(f"[dim]Next:[/] hx tree {escape(report.model)}")
