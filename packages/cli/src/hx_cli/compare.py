"""`hx compare`: its options, and what it shows a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import plural
from hx_cli._options import argument
from hx_cli._output import Output
from hx_cli._widgets import escape, styled

if TYPE_CHECKING:
    from rich.table import Table

    from hx.records.compare import CompareReport, NodeGroup

FIRST = 5
"""Places where graphs part that are shown without -v."""


def compare(
    out: Output,
    left: Annotated[Path, argument("A.onnx", "Any ONNX model.")],
    right: Annotated[Path, argument("B.onnx", "Another one.")],
) -> int:
    """Say whether two models have the same topology, whatever their nodes are called, and what differs by module."""
    with out.progress() as progress:
        report = hx.compare(left, right, progress=progress)
    out.report(report, _show)
    return int(not report.same)


def _show(report: CompareReport, output: Output) -> None:
    """Print whether two graphs are the same, and what differs."""
    if report.same:
        output.data(f"[green]The same topology[/]: {plural(report.nodes[0], 'node')}, {report.digests[0][:16]}.")
        return
    output.data(f"[bold]Not the same topology[/]: {report.nodes[0]} and {report.nodes[1]} nodes.")
    for side, words in (("inputs ", report.inputs), ("outputs ", report.outputs), ("", report.elsewhere)):
        for word in words:
            output.data(f"  {side}{escape(word)}")
    for name, (one, two) in report.operators.items():
        output.data(f"  {escape(name)}: {one} and {two}")
    if report.divergence:
        output.data("\nWhere they part:")
        places: list[tuple[str | None, str]] = []
        for row in report.divergence:
            other = f"{row.other_op_type} {row.other}" if row.other else "nothing there"
            places.append((row.module, f"{row.op_type} {row.node}  |  {other}"))
        _first(places, output)
    if report.attributes:
        output.data("\nAttributes that differ:")
        changes = [(c.module, f"{c.op_type} {c.node}  {c.name}: {c.left}  |  {c.right}") for c in report.attributes]
        _first(changes, output)
    _groups("Only in the first", report.removed, output)
    _groups("Only in the second", report.added, output)
    _groups("In both, reading from other places", report.rewired, output)


def _groups(title: str, groups: Sequence[NodeGroup], output: Output) -> None:
    if not groups:
        return
    output.data(f"\n{title}: {plural(sum(len(group.nodes) for group in groups), 'node')}")
    rows: list[tuple[str | None, str]] = []
    for group in groups:
        operators = ", ".join(f"{n} {name}" if n > 1 else name for name, n in group.operators.items())
        times = f" in each of {group.modules}" if group.modules > 1 else ""
        rows.append((group.module, f"{operators}{times}"))
    output.data(_rows(rows))


def _first(rows: Sequence[tuple[str | None, str]], output: Output) -> None:
    shown = rows if output.verbosity > 0 else rows[:FIRST]
    output.data(_rows(shown))
    if len(shown) < len(rows):
        output.data(f"  [dim]and {len(rows) - len(shown)} more; -v lists them all[/]")


def _rows(rows: Sequence[tuple[str | None, str]]) -> Table:
    """Return modules and what there is in each, side by side; long ones in several lines, never cut."""
    from rich.padding import Padding
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for module, text in rows:
        name = styled("module unknown", "dim") if module is None else styled(module or "the model itself")
        table.add_row(Padding(name, (0, 0, 0, 2)), styled(text))
    return table
