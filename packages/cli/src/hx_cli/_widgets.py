"""Pieces that several views draw with; each imports rich when it draws, which the help does without."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from hx.files import sidecar_path
from hx.text import kind, percent, plural

if TYPE_CHECKING:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from hx.records.project import ProjectReport
    from hx.records.relink import RelinkReport
    from hx.records.view import ShownReport


class Covered(Protocol):
    """A report that says how many nodes are known."""

    nodes: int
    exact_percent: float
    covered_percent: float


class Explained(Protocol):
    """A call in a report, with a reason."""

    @property
    def fqn(self) -> str: ...
    @property
    def tag(self) -> str: ...
    @property
    def call(self) -> int: ...
    @property
    def reason(self) -> str: ...


REASONS = 5
"""More different reasons than these are counted."""
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
"""Characters in names of models and modules that would act on a terminal, as what is shown of them."""


def escape(text: str) -> str:
    """Return a text as rich markup that shows it as it is, its control characters escaped."""
    from rich import markup

    return markup.escape(text.translate(CONTROLS))


def command_line(*words: str) -> str:
    """Return a command to copy, as rich markup."""
    return escape(shlex.join(words))


def next_tree(report: ProjectReport | RelinkReport) -> str:
    """Return how to look at a model that has a sidecar now; nothing where it lies elsewhere than commands look."""
    is_beside = Path(report.file.path) == sidecar_path(Path(report.model))
    return f"[dim]Next:[/] {command_line('hx', 'tree', report.model)}" if is_beside else ""


def styled(text: str, style: str = "") -> Text:
    """Return a text that is shown as it is, its control characters escaped, in one style."""
    from rich.text import Text

    return Text(text.translate(CONTROLS), style)


def boxed(title: str, rows: Mapping[str, str | None]) -> Panel:
    """Return a box with a title in plain text around labels and what each has; None leaves a label out."""
    from rich import box
    from rich.panel import Panel
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in rows.items():
        if text is not None:
            grid.add_row(label, text)
    return Panel(grid, title=f"[bold]{escape(title)}[/]", title_align="left", expand=False, box=box.ROUNDED)


def numbers_of(report: ShownReport) -> str:
    """Return as markup which numbers are shown of a model."""
    return ", ".join(report.numbers) or "[dim]none were given[/]"


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


Call = TypeVar("Call", bound=Explained)
Line = TypeVar("Line")


def guided(
    roots: Sequence[Line], below: Callable[[Line], Sequence[Line]], guides: Sequence[str]
) -> Iterator[tuple[str, Line]]:
    """Yield the lines of trees with what is drawn before each.

    Args:
        roots: The first lines of the trees.
        below: Returns the lines right under one.
        guides: What stands before a line, before the last one, and below these.
    """
    tee, corner, bar, gap = guides
    pending = [("", "", root) for root in reversed(roots)]
    while pending:
        guide, indent, line = pending.pop()
        yield guide, line
        for number, under in enumerate(reversed(below(line))):
            pending.append((indent + (tee if number else corner), indent + (bar if number else gap), under))


def categories(
    rows: Iterable[tuple[str, int, float, float, float | None]], operators: Mapping[str, str] | None = None
) -> Table:
    """Return a table of the coverage of operator categories.

    Rows are name, nodes, percent exact, percent covered, and the percent below which a category is marked, or None. A last
    column says what `operators` have by name of the category.
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


def by_reason(calls: Iterable[Call]) -> list[list[Call]]:
    """Return calls in groups, the largest first: the reasons of one group differ in numbers and names in quotes alone."""
    groups: dict[str, list[Call]] = {}
    for call in calls:
        groups.setdefault(kind(call.reason), []).append(call)
    return sorted(groups.values(), key=len, reverse=True)


def reasons(calls: Sequence[Explained], what: str) -> list[str]:
    """Return lines of markup: how many calls are `what`, and for what reasons; none where there are no calls."""
    if not calls:
        return []
    groups = by_reason(calls)
    lines = [f"[yellow]{plural(len(calls), 'call')} {what}[/]:"]
    for first, *others in groups[:REASONS]:
        more = f" and {len(others)} more" if others else ""
        name = escape(call_name(first.fqn, first.tag, first.call))
        lines.append(f"  {name}{more}: {escape(first.reason.removeprefix('Not compared: '))}")
    if rest := sum(map(len, groups[REASONS:])):
        lines.append(f"  … and {rest} for other reasons; --json has them all")
    return lines
