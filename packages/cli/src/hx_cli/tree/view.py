"""What `hx tree` shows a person: guides, names and numbers in columns, repetitions in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hx.records.tree import TreeEntry, TreeReport
from hx.text import TIMES, count

if TYPE_CHECKING:
    from rich.table import Table

    from hx_cli._output import Output

ALIKE = 3
"""More siblings than these in a row that are built alike are shown as the first and a count."""
NARROW, WIDE = 72, 88


@dataclass
class Branch:
    """One line of the tree.

    Attributes:
        entry: The call; the first of several of one module that are drawn as one.
        times: How many.
        below: Lines under it.
        alike: What follows it and is built alike, drawn as one more line.
    """

    entry: TreeEntry
    times: int = 1
    nodes: int = 0
    own: int = 0
    below: list[Branch] = field(default_factory=list["Branch"])
    alike: list[Branch] = field(default_factory=list["Branch"])

    @property
    def form(self) -> object:
        """What two branches that are built alike have in common."""
        entry = self.entry
        parts = [(branch.form, branch.times, len(branch.alike)) for branch in self.below]
        return (entry.class_name, entry.status, tuple(parts))


def show_tree(report: TreeReport, output: Output, *, collapse: bool) -> None:
    """Print the tree.

    Args:
        report: The calls.
        output: Where to.
        collapse: Draw repetitions as one line.
    """
    roots = branches(report.calls, collapse=collapse)
    output.data(_table(roots, report, output.stdout.width, ascii_only=_ascii(output)), asked=True)


def branches(entries: Sequence[TreeEntry], *, collapse: bool) -> list[Branch]:
    """Build the lines from the calls."""
    made = [Branch(entry, nodes=entry.nodes, own=entry.own_nodes) for entry in entries]
    roots: list[Branch] = []
    for branch in made:
        parent = branch.entry.parent
        (roots if parent is None else made[parent].below).append(branch)
    if collapse:
        for branch in reversed(made):  # a parent stands before its children
            branch.below = _fewer(branch.below)
    return roots


def _fewer(siblings: Sequence[Branch]) -> list[Branch]:
    """Draw the calls of one module as one, and a row of modules that are built alike as the first and a count."""
    merged: list[Branch] = []
    first: dict[object, Branch] = {}
    for branch in siblings:
        known = first.setdefault((branch.entry.fqn, branch.form), branch)
        if known is branch:
            merged.append(branch)
        else:
            _merge(known, branch)
    kept: list[Branch] = []
    start = 0
    while start < len(merged):
        end = start
        while end < len(merged) and (merged[end].form, merged[end].times) == (merged[start].form, merged[start].times):
            end += 1
        run = merged[start:end]
        if len(run) > ALIKE:
            run[0].alike = run[1:]
            kept.append(run[0])
        else:
            kept += run
        start = end
    return kept


def _merge(into: Branch, other: Branch) -> None:
    into.times += other.times
    into.nodes += other.nodes
    into.own += other.own
    for mine, its in zip((*into.below, *into.alike), (*other.below, *other.alike), strict=True):
        _merge(mine, its)


def _table(roots: Sequence[Branch], report: TreeReport, width: int, *, ascii_only: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    named, own = width >= WIDE, width >= NARROW
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("module", no_wrap=True, overflow="ellipsis")
    if named:
        table.add_column("name", no_wrap=True, overflow="ellipsis", style="dim")
    for header in ("nodes", "own", "weights") if own else ("nodes", "weights"):
        table.add_column(header, justify="right", no_wrap=True, min_width=len(header))

    def row(guide: str, label: Text, name: str, numbers: tuple[int, int, int], style: str = "") -> None:
        nodes, own_nodes, weights = numbers
        cells = [Text.assemble((guide, "dim"), label), *([Text(name)] if named else []), str(nodes)]
        cells += [str(own_nodes)] if own else []
        table.add_row(*cells, count(weights) if weights else "", style=style)

    for line in _lines(roots, "", narrow=not own, ascii_only=ascii_only, top=True):
        branch = line.branch
        if line.more:
            alike = branch.alike
            last = _segment(alike[-1].entry)
            text = f"… {len(alike)} more like it, to {last}"
            numbers = (sum(b.nodes for b in alike), sum(b.own for b in alike), sum(b.entry.weights for b in alike))
            row(line.guide, Text(text, "dim italic"), "", numbers)
            continue
        entry = branch.entry
        usual = entry.status == "extractable"
        shown = _segment(entry) if entry.parent is not None else "/".join(entry.tag.split("/")[-2:]).lstrip("/")
        label = Text(shown, "bold" if entry.parent is None else "" if usual else "dim")
        if branch.times > 1:
            label.append(f" {TIMES}{branch.times}", "cyan")
        if not usual:
            label.append(f"  {entry.status.replace('_', ' ')}", "yellow dim")
        row(line.guide, label, _name(entry, report), (branch.nodes, branch.own, entry.weights))
    return table


@dataclass
class _Line:
    guide: str
    branch: Branch
    more: bool = False


def _lines(
    siblings: Sequence[Branch], indent: str, *, narrow: bool, ascii_only: bool, top: bool = False
) -> Iterator[_Line]:
    """Yield lines with their guides: two columns a level where there is little room, else three."""
    tee, corner, bar, gap = ("|- ", "`- ", "|  ", "   ") if ascii_only else ("├─ ", "└─ ", "│  ", "   ")
    if narrow:
        tee, corner, bar, gap = (part[0] + part[2:] for part in (tee, corner, bar, gap))
    for position, branch in enumerate(siblings):
        last = position == len(siblings) - 1
        ends = last and not branch.alike
        guide, deeper = ("", "") if top else (corner if ends else tee, gap if ends else bar)
        yield _Line(indent + guide, branch)
        yield from _lines(branch.below, indent + deeper, narrow=narrow, ascii_only=ascii_only)
        if branch.alike:
            yield _Line(indent + ("" if top else corner if last else tee), branch, more=True)


def _segment(entry: TreeEntry) -> str:
    return entry.tag.rsplit("/", 1)[-1]


def _name(entry: TreeEntry, report: TreeReport) -> str:
    """The fqn below the parent's."""
    if entry.parent is None:
        return entry.fqn
    above = report.calls[entry.parent].fqn
    return entry.fqn.removeprefix(f"{above}.") if above else entry.fqn


def _ascii(output: Output) -> bool:
    return not output.stdout.encoding.lower().startswith("utf")
