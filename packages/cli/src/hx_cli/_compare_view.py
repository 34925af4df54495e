"""What `hx compare` shows a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hx_cli._text import plural

if TYPE_CHECKING:
    from hx_cli._output import Output
    from hx_cli._reports import CompareReport, NodeGroup

FIRST = 5
"""Places where graphs part that are shown without -v."""


def show_compare(report: CompareReport, output: Output) -> None:
    """Print whether two graphs are the same, and what differs."""
    from rich.markup import escape

    if report.same:
        output.data(
            f"[green]The same topology[/]: {plural(report.nodes[0], 'node')}, {report.digests[0][:16]}."
        )
        return
    output.data(f"[bold]Not the same topology[/]: {report.nodes[0]} and {report.nodes[1]} nodes.")
    for side, words in (("inputs", report.inputs), ("outputs", report.outputs)):
        for word in words:
            output.data(f"  {side} {escape(word)}")
    for name, (one, two) in report.operators.items():
        output.data(f"  {escape(name)}: {one} and {two}")
    if report.divergence:
        output.data("\nWhere they part:")
        shown = report.divergence if output.verbosity > 0 else report.divergence[:FIRST]
        for row in shown:
            other = f"{row.other_op_type} {row.other}" if row.other else "nothing there"
            where = f"  [dim]{escape(row.module)}[/]" if row.module else ""
            output.data(f"  {row.op_type} {escape(row.node)}  |  {escape(other)}{where}")
        if len(shown) < len(report.divergence):
            output.data(f"  [dim]and {len(report.divergence) - len(shown)} more; -v lists them all[/]")
    _groups("Only in the first", report.removed, output)
    _groups("Only in the second", report.added, output)
    _groups("In both, reading from other places", report.rewired, output)


def _groups(title: str, groups: Sequence[NodeGroup], output: Output) -> None:
    from rich.markup import escape

    if not groups:
        return
    output.data(f"\n{title}: {plural(sum(len(group.nodes) for group in groups), 'node')}")
    for group in groups:
        operators = ", ".join(f"{n} {name}" if n > 1 else name for name, n in group.operators.items())
        times = f" [dim]in each of {group.modules}[/]" if group.modules > 1 else ""
        output.data(f"  {escape(group.module) or '[dim]module unknown[/]'}: {escape(operators)}{times}")
