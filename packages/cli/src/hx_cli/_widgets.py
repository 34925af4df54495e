"""Pieces that several views draw with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.panel import Panel
    from rich.table import Table


def shown(text: str) -> str:
    """Return a text as rich markup that shows it as it is."""
    from rich.markup import escape

    return escape(text)


def fields() -> Table:
    """Return an empty grid for rows of a label and what it has."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def boxed(title: str, content: RenderableType) -> Panel:
    """Return a box around something, with a title in plain text."""
    from rich import box
    from rich.panel import Panel

    return Panel(content, title=f"[bold]{shown(title)}[/]", title_align="left", expand=False, box=box.ROUNDED)
