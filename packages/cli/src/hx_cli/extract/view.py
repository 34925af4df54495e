"""What `hx extract` shows a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hx.records.extract import ExtractReport, ModuleEntry, PortEntry
from hx.text import number, plural, shape
from hx_cli._widgets import boxed, fields, shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hx_cli._output import Output

ROWS = 40
"""More extracted calls than these are counted, not listed; `index.json` has them all, and -v lists them."""
NARROW = 100
INPUTS_WIDTH, BESIDE_NAME = 16, 40
"""Columns of a narrow table for the inputs, and for all but the call's name."""


def show_extract(report: ExtractReport, output: Output, *, tables: bool) -> None:
    """Print what was written on stdout, and on stderr what differs from its original.

    Args:
        report: What the extraction did.
        output: Where to.
        tables: Off where stdout is taken by `--json`.
    """
    failed = [entry for entry in report.modules if entry.failed]
    if tables:
        several = len(report.modules) > 1 or report.modules[0].file is None
        if several or not report.output.endswith(".onnx"):
            _show_folder(report, output)
        else:
            output.data(_one(report.modules[0], report))
    for entry in failed[:10]:
        output.warn(f"{entry.tag}: {entry.reason}")
    if len(failed) > 10:
        output.warn(f"and {plural(len(failed) - 10, 'more call')} with a wrong result; see `reason` in the index.")


def _show_folder(report: ExtractReport, output: Output) -> None:
    done = [entry for entry in report.modules if entry.status == "extractable"]
    listed = done if output.verbosity > 0 else done[:ROWS]
    if listed:
        output.data(_table(listed, output.stdout.width, compared=report.compared_with is not None))
    if len(listed) < len(done):
        output.data(f"[dim]… and {len(done) - len(listed)} more; -v lists them all.[/]")
    written = sum(entry.file is not None for entry in done)
    lines = [f"[bold]{plural(written, 'model')}[/] and index.json in [bold]{shown(report.output)}[/]"]
    if report.compared_with is not None and done:
        errors = [entry.relative_error or 0.0 for entry in done if entry.max_abs_error is not None]
        state = f"[bold red]{report.mismatches} differ[/]" if report.mismatches else "[green]all equal[/]"
        if errors or report.mismatches:
            worst = number(max(errors, default=None))
            error = f", largest error {worst} of the largest value" if worst else ""
            lines.append(f"compared with {_original(report)}: {state}{error}")
        unknown = [entry for entry in done if entry.max_abs_error is None and not entry.failed]
        if unknown:
            reasons = Counter(entry.reason.removeprefix("Not compared: ") for entry in unknown)
            lines += [f"[yellow]{n} not compared[/]: {shown(reason)}" for reason, n in reasons.most_common(3)]
    others = Counter(entry.status for entry in report.modules if entry.status != "extractable")
    if others:
        what = ", ".join(f"{amount} {status.replace('_', ' ')}" for status, amount in others.most_common())
        lines.append(f"[dim]{plural(sum(others.values()), 'call')} without a model of its own: {what}[/]")
    output.data("\n".join(lines))


def _table(entries: Sequence[ModuleEntry], width: int, *, compared: bool) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    narrow, room = width < NARROW, max(width - BESIDE_NAME, 12)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("call", overflow="fold")
    table.add_column("inputs", overflow="fold", style="cyan", max_width=INPUTS_WIDTH if narrow else None)
    if not narrow:
        table.add_column("outputs", overflow="fold", style="cyan")
    table.add_column("nodes", justify="right", no_wrap=True, min_width=5)
    if compared:
        table.add_column("error", justify="right", no_wrap=True, min_width=7)
    for entry in entries:
        name = entry.fqn or entry.tag.lstrip("/")
        name = f"{name}@{entry.call}" if entry.call else name
        if narrow and len(name) > room:  # the end of a name says more than its start
            name = f"…{name[1 - room :]}"
        cells = [Text(name), Text(_names(entry.inputs))]
        if not narrow:
            cells.append(Text(_names(entry.outputs)))
        cells.append(Text(str(entry.nodes)))
        if compared:
            cells.append(Text(_error(entry)))
        table.add_row(*cells, style="bold red" if entry.failed else "")
    return table


def _one(entry: ModuleEntry, report: ExtractReport) -> RenderableType:

    grid = fields()
    grid.add_row("module", shown(entry.tag))
    grid.add_row("inputs", _ports(entry.inputs))
    grid.add_row("outputs", _ports(entry.outputs))
    grid.add_row("nodes", str(entry.nodes))
    if report.compared_with is None:
        grid.add_row("numbers", "[dim]not compared (--no-verify)[/]")
    elif entry.failed:
        grid.add_row("numbers", f"[bold red]not {_original(report)}'s[/]  {shown(entry.reason)}")
    elif entry.max_abs_error is None:
        grid.add_row("numbers", f"[yellow]{shown(entry.reason)}[/]")
    else:
        error = number(entry.relative_error)
        grid.add_row("numbers", f"[green]equal to {_original(report)}'s[/] within {error} of the largest value")
    grid.add_row("file", f"[bold]{shown(report.output)}[/]")
    return boxed(entry.fqn or entry.tag, grid)


def _ports(ports: Sequence[PortEntry]) -> str:
    lines: list[str] = []
    for port in ports:
        line = f"{shown(port.name)} [dim]{shape(port.shape)} {port.dtype.lower()}[/]"
        if port.unused:
            line = f"[dim]{shown(port.name)} unused: not in the graph[/]"
        elif port.implicit:
            line += " [yellow]implicit: no argument of forward()[/]"
        lines.append(line)
    return "\n".join(lines)


def _error(entry: ModuleEntry) -> str:
    if entry.max_abs_error is not None:
        return number(entry.max_abs_error)
    return "failed" if entry.failed else "?"


def _names(ports: Sequence[PortEntry]) -> str:
    return ", ".join(port.name for port in ports if not port.unused)


def _original(report: ExtractReport) -> str:
    return "PyTorch" if report.compared_with == "pytorch" else "the whole model"
