"""`hx tree`: its options, and what it shows a person: guides, names and numbers in columns, repetitions in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import TIMES, count
from hx_cli._long_table import LongTable
from hx_cli._options import ModulePattern, OnnxFile, flag, value
from hx_cli._output import Output
from hx_cli._paths import find_model
from hx_cli._widgets import guided, styled

if TYPE_CHECKING:
    from rich.text import Text

    from hx.records.tree import TreeEntry, TreeReport

ALIKE = 3
"""More siblings than these in a row that are built alike are shown as the first and a count."""
NARROW, WIDE = 72, 88


def tree(
    out: Output,
    model: OnnxFile = None,
    module: ModulePattern = None,
    depth: Annotated[int | None, value("N", "Levels below the root.", min=0)] = None,
    everything: Annotated[bool, flag("Show torch.nn modules and repetitions too.", "--all", "-a")] = False,
) -> int:
    """Show the module tree of an export: calls, nodes, weights."""
    report = hx.tree(find_model(model), module or [], depth=depth, everything=everything)
    out.report(report, show_tree, collapse=not everything)
    return 0


def show_tree(report: TreeReport, output: Output, *, collapse: bool) -> None:
    """Print the tree; repetitions as one line where `collapse` is on."""
    output.data(_table(_branches(report.calls, collapse=collapse), report, output), asked=True)


@dataclass
class _Branch:
    """One line of the tree."""

    entry: TreeEntry
    """The call; the first of several of one module that are drawn as one."""
    nodes: int
    """Of all of these, and of what is below them."""
    own: int
    calls: list[int]
    """Positions in the report of the calls that are drawn as this one."""
    below: list[_Branch] = field(default_factory=list["_Branch"])
    alike: list[_Branch] = field(default_factory=list["_Branch"])
    """What follows it and is built alike, drawn as one more line."""
    form: int = 0
    """The same number for branches that are built alike."""


def _branches(entries: Sequence[TreeEntry], *, collapse: bool) -> list[_Branch]:
    made = [_Branch(entry, entry.nodes, entry.own_nodes, [place]) for place, entry in enumerate(entries)]
    roots: list[_Branch] = []
    for branch in made:
        parent = branch.entry.parent
        (roots if parent is None else made[parent].below).append(branch)
    if collapse:
        forms: dict[object, int] = {}
        for branch in reversed(made):  # a parent stands before its children
            branch.below = _fewer(branch.below)
            parts = tuple((part.form, len(part.calls), len(part.alike)) for part in branch.below)
            branch.form = forms.setdefault((branch.entry.class_name, branch.entry.status, parts), len(forms))
    return roots


def _fewer(siblings: Sequence[_Branch]) -> list[_Branch]:
    """Draw the calls of one module as one, and a row of modules that are built alike as the first and a count."""
    merged: dict[object, _Branch] = {}
    for branch in siblings:
        first = merged.setdefault((branch.entry.fqn, branch.form), branch)
        if first is not branch:
            _merge(first, branch)
    kept: list[_Branch] = []
    for _, group in groupby(merged.values(), key=lambda branch: (branch.form, len(branch.calls))):
        first, *others = group
        if len(others) >= ALIKE:
            first.alike, others = others, []
        kept += [first, *others]
    return kept


def _merge(into: _Branch, other: _Branch) -> None:
    pairs = [(into, other)]
    for mine, its in pairs:  # grows
        mine.nodes += its.nodes
        mine.own += its.own
        mine.calls += its.calls
        pairs += zip((*mine.below, *mine.alike), (*its.below, *its.alike), strict=True)


def _table(roots: Sequence[_Branch], report: TreeReport, output: Output) -> LongTable:
    width = output.stdout.width
    named, own = width >= WIDE, width >= NARROW
    numbers = ("nodes", "own", "weights") if own else ("nodes", "weights")
    made = LongTable({"module": "", **({"name": "dim"} if named else {})}, numbers)

    def row(guide: str, label: Text, name: str, nodes: int, own_nodes: int, weights: int) -> None:
        first = styled("").append(guide, "dim").append_text(label)
        shown = [str(nodes), *([str(own_nodes)] if own else []), count(weights) if weights else ""]
        made.add_row([first, *([name] if named else [])], shown)

    def below(line: tuple[_Branch, bool]) -> list[tuple[_Branch, bool]]:
        branch, more = line
        return [] if more else [(b, m) for b in branch.below for m in (False, True) if b.alike or not m]

    guides = _guides(narrow=not own, ascii_only=output.ascii_only)
    for guide, (branch, more) in guided([(root, False) for root in roots], below, guides):
        entry, alike = branch.entry, branch.alike
        if more:
            label = styled(f"… {len(alike)} more like it, to {_segment(alike[-1].entry)}", "dim italic")
            weights = report.weights_of(call for b in alike for call in b.calls)
            row(guide, label, "", sum(b.nodes for b in alike), sum(b.own for b in alike), weights)
            continue
        usual = entry.status == "extractable"
        shown = _segment(entry) if entry.parent is not None else "/".join(entry.tag.split("/")[-2:]).lstrip("/")
        label = styled(shown, "bold" if entry.parent is None else "" if usual else "dim")
        if len(branch.calls) > 1:
            label.append(f" {TIMES}{len(branch.calls)}", "cyan")
        if not usual:
            label.append(f"  {entry.status.replace('_', ' ')}", "yellow dim")
        above = f"{report.calls[entry.parent].fqn}." if entry.parent is not None else ""
        weights = report.weights_of(branch.calls)
        row(guide, label, entry.fqn.removeprefix(above), branch.nodes, branch.own, weights)
    return made


def _guides(*, narrow: bool, ascii_only: bool) -> tuple[str, ...]:
    """Return what stands before a line, before the last one, and below these: two columns in place of three if narrow."""
    guides = ("|- ", "`- ", "|  ", "   ") if ascii_only else ("├─ ", "└─ ", "│  ", "   ")
    return tuple(part[0] + part[2:] for part in guides) if narrow else guides


def _segment(entry: TreeEntry) -> str:
    return entry.tag.rsplit("/", 1)[-1]
