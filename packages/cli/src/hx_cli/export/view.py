"""What `hx export` shows a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hx.records.export import ExportReport, Verification
from hx.text import count, number, percent, plural, shape, size
from hx_cli._widgets import boxed, fields, shown

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from hx_cli._output import Output

STATUS_STYLE = {"match": "green", "mismatch": "bold red", "not_checked": "yellow"}


def show_export(
    report: ExportReport, output: Output, *, tables: bool, following: bool = True, cross_checked: bool = False
) -> None:
    """Print the summary on stdout, and on stderr what is not as it was asked for.

    Args:
        report: What the export did.
        output: Where to.
        tables: Off where stdout is taken by `--json`.
        following: Say which command to try next.
        cross_checked: Whether the disagreements of sources were asked for.
    """
    thresholds = _thresholds()
    below = {
        name: row for name, row in report.category_statistics.items() if row["percentage"] < thresholds.get(name, 0.0)
    }
    if tables:
        output.data(_summary(report))
        if below or output.verbosity > 0:
            output.data(_categories(report, thresholds))
        if report.disagreements and (cross_checked or output.verbosity > 0):
            output.data(_disagreements(report))
    for name, row in below.items():
        output.warn(f"{name}: {percent(row['percentage'])} of the nodes covered, below {thresholds[name]:g} %.")
    if report.static_axes:
        output.warn(
            f"the model itself fixes {plural(len(report.static_axes), 'axis', 'axes')}, left static: {', '.join(report.static_axes)}."
        )
    for note in report.notes:
        output.warn(note)
    check = report.verification
    if check is not None and check.status == "mismatch":
        output.warn(f"the outputs are not those of the PyTorch module: {_mismatch(check)} The files are written.")
    elif check is not None and check.status == "not_checked":
        output.warn(f"the outputs were not compared with PyTorch: {check.reason}.")
    if tables and following:
        output.note(f"[dim]Next:[/] hx tree {shown(report.files[0].path)}")


def _summary(report: ExportReport) -> RenderableType:

    grid = fields()
    simple = report.class_name.rsplit(".", 1)[-1]
    grid.add_row("model", f"[bold]{simple}[/]  {count(report.parameters)} parameters in {report.modules} modules")
    grid.add_row(
        "nodes",
        f"[bold]{report.nodes}[/]  {percent(report.exact_percent)} exact, {percent(report.covered_percent)} covered",
    )
    called = sum(amount for status, amount in report.calls.items() if status != "not_called")
    by_status = sorted(report.calls.items(), key=lambda item: -item[1])
    calls = ", ".join(f"{amount} {status.replace('_', ' ')}" for status, amount in by_status)
    if report.disagreements:
        sources = ", ".join(sorted({row.against for row in report.disagreements}))
        grid.add_row("disagree", f"[bold]{len(report.disagreements)}[/]  nodes, with {sources}")
    grid.add_row("calls", f"[bold]{called}[/]  {calls}")
    grid.add_row("inputs", _ports(report.inputs))
    grid.add_row("outputs", _ports(report.outputs))
    grid.add_row("numbers", _numbers(report.verification))
    grid.add_row("files", "\n".join(f"{shown(file.path)}  [dim]{size(file.size_bytes)}[/]" for file in report.files))
    grid.add_row("time", f"[dim]{', '.join(f'{step} {seconds:.1f} s' for step, seconds in report.seconds.items())}[/]")
    return boxed(report.model, grid)


def _ports(ports: Mapping[str, list[int | str]]) -> str:
    lines = [f"{shown(name)} [dim]{shape(dims)}[/]" for name, dims in list(ports.items())[:6]]
    return "\n".join(lines + ([f"[dim]and {len(ports) - 6} more[/]"] if len(ports) > 6 else []))


def _numbers(check: Verification | None) -> str:
    if check is None:
        return "[dim]not compared (--no-verify)[/]"
    style = STATUS_STYLE[check.status]
    if check.status == "match":
        return f"[{style}]equal to PyTorch's[/] within {number(check.relative_error)} of the largest value"
    if check.status == "not_checked":
        return f"[{style}]not compared[/]"
    return f"[{style}]not PyTorch's[/]  {shown(_mismatch(check))}"


def _mismatch(check: Verification) -> str:
    if check.relative_error is None:
        return f"{check.reason}."
    return f"{check.reason} by {number(check.max_abs_error)}, {number(check.relative_error)} of its largest value; at most {number(check.tolerance)} is a match."


def _categories(report: ExportReport, thresholds: Mapping[str, float]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("category")
    for header in ("nodes", "exact", "covered", "at least"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, row in report.category_statistics.items():
        least = thresholds.get(name)
        style = "yellow" if least is not None and row["percentage"] < least else ""
        exact = 100.0 * row["exact"] / row["total"] if row["total"] else 100.0
        cells = (str(row["total"]), percent(exact), percent(row["percentage"]))
        table.add_row(name, *cells, "" if least is None else f"{least:g} %", style=style)
    return table


def _disagreements(report: ExportReport) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("node", "operator", "decided by", "owner", "against", "its owner"):
        table.add_column(header, overflow="fold")
    for row in report.disagreements:
        table.add_row(row.output, row.op_type, row.evidence, row.owner, row.against, row.other)
    return table


def _thresholds() -> dict[str, float]:
    from hx.records.analyze import CATEGORIES

    return {category.name: category.threshold for category in CATEGORIES}
