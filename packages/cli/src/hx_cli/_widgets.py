"""Pieces that several views draw with; each imports rich when it draws, which the help does without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from hx.text import percent

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text


class Covered(Protocol):
    """A report that says how many nodes are known."""

    nodes: int
    exact_percent: float
    covered_percent: float


def escape(text: str) -> str:
    """Return a text as rich markup that shows it as it is."""
    from rich import markup

    return markup.escape(text)


def styled(text: str, style: str = "") -> Text:
    """Return a text that is shown as it is, in one style."""
    from rich.text import Text

    return Text(text, style)


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

    return Panel(content, title=f"[bold]{escape(title)}[/]", title_align="left", expand=False, box=box.ROUNDED)


def table(texts: Iterable[str] = (), numbers: Iterable[str] = ()) -> Table:
    """Return an empty table with a line under its headings: columns of texts, which are folded, then of numbers."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in texts:
        made.add_column(header, overflow="fold")
    add_numbers(made, numbers)
    return made


def add_numbers(to: Table, headers: Iterable[str]) -> None:
    """Add columns of numbers to a table."""
    for header in headers:
        to.add_column(header, justify="right", no_wrap=True, min_width=len(header))


def categories(
    rows: Iterable[tuple[str, int, float, float, float | None]], operators: Mapping[str, str] | None = None
) -> Table:
    """Return a table of the coverage of operator categories.

    Args:
        rows: Name, nodes, percent exact, percent covered, and the percent below which a category is marked, or None.
        operators: By name of a category, what a last column says.
    """
    made = table(["category"], ["nodes", "exact", "covered", "at least"])
    if operators is not None:
        made.add_column("operators", overflow="fold")
    for name, nodes, exact, covered, least in rows:
        cells = [str(nodes), percent(exact), percent(covered), "" if least is None else f"{least:g} %"]
        cells += [] if operators is None else [operators[name]]
        made.add_row(name, *cells, style="yellow" if least is not None and covered < least else "")
    return made


def coverage(report: Covered) -> str:
    """Return how many nodes there are, and how many of them are known."""
    known = f"{percent(report.exact_percent)} exact, {percent(report.covered_percent)} covered"
    return f"[bold]{report.nodes}[/]  {known}"


def by_status(calls: Mapping[str, int]) -> str:
    """Return numbers of calls by status in words, the largest first."""
    ordered = sorted(calls.items(), key=lambda item: -item[1])
    return ", ".join(f"{amount} {status.replace('_', ' ')}" for status, amount in ordered)


def called(calls: Mapping[str, int]) -> str:
    """Return how many calls there are, and their statuses; modules that were not called count as none."""
    return f"[bold]{sum(calls.values()) - calls.get('not_called', 0)}[/]  {by_status(calls)}"


def call_name(fqn: str, tag: str, call: int) -> str:
    """Return a call's name: the module's, the root's class, and the number of a later call."""
    name = fqn or tag.lstrip("/")
    return f"{name}@{call}" if call else name
