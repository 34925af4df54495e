"""`hx compare`: its options, and what it shows a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hx
from hx.text import plural
from hx_cli._output import Output
from hx_cli._widgets import escape, styled

if TYPE_CHECKING:
    from rich.table import Table

    from hx.records.compare import CompareReport, NodeGroup

FIRST = 5
"""Places where graphs part that are shown without -v."""


def compare(
    out: Output,
    left: Annotated[Path, typer.Argument(metavar="A.onnx", help="Any ONNX model.")],
    right: Annotated[Path, typer.Argument(metavar="B.onnx", help="Another one.")],
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
        shown = report.divergence if output.verbosity > 0 else report.divergence[:FIRST]
        rows: list[tuple[str, str]] = []
        for row in shown:
            other = f"{row.other_op_type} {row.other}" if row.other else "nothing there"
            rows.append((_module(row.module), f"{row.op_type} {row.node}  |  {other}"))
        output.data(_rows(rows))
        if len(shown) < len(report.divergence):
            output.data(f"  [dim]and {len(report.divergence) - len(shown)} more; -v lists them all[/]")
    if report.attributes:
        output.data("\nAttributes that differ:")
        changes = report.attributes if output.verbosity > 0 else report.attributes[:FIRST]
        output.data(
            _rows([(_module(c.module), f"{c.op_type} {c.node}  {c.name}: {c.left}  |  {c.right}") for c in changes])
        )
        if len(changes) < len(report.attributes):
            output.data(f"  [dim]and {len(report.attributes) - len(changes)} more; -v lists them all[/]")
    _groups("Only in the first", report.removed, output)
    _groups("Only in the second", report.added, output)
    _groups("In both, reading from other places", report.rewired, output)


def _groups(title: str, groups: Sequence[NodeGroup], output: Output) -> None:
    if not groups:
        return
    output.data(f"\n{title}: {plural(sum(len(group.nodes) for group in groups), 'node')}")
    rows: list[tuple[str, str]] = []
    for group in groups:
        operators = ", ".join(f"{n} {name}" if n > 1 else name for name, n in group.operators.items())
        times = f" in each of {group.modules}" if group.modules > 1 else ""
        rows.append((_module(group.module), f"{operators}{times}"))
    output.data(_rows(rows))


def _module(name: str | None) -> str:
    return "module unknown" if name is None else name or "the model itself"


def _rows(rows: Sequence[tuple[str, str]]) -> Table:
    """Return modules and what there is in each, side by side; long ones in several lines, never cut."""
    from rich.padding import Padding
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for module, text in rows:
        table.add_row(Padding(styled(module, "dim" if module == "module unknown" else ""), (0, 0, 0, 2)), styled(text))
    return table
