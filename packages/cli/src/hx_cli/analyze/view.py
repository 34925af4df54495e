"""What `hx analyze` shows a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hx.text import count, percent, plural, shape, size
from hx_cli._widgets import boxed, fields

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from hx.records.analyze import AnalyzeReport, CallEntry, TotalCost
    from hx_cli._output import Output

TAGS = 8
"""Tags that are listed without --detailed."""
NARROW = 72


def analyze_parts(report: AnalyzeReport, width: int) -> list[RenderableType]:
    """Return the tables, for a number of columns."""
    detailed = report.node_list is not None
    parts: list[RenderableType] = [_summary(report), _categories(report, detailed=detailed)]
    parts.append(_tags(report, detailed=detailed))
    parts.append(_calls(report, width))
    if report.node_list is not None:
        parts.append(_nodes(report))
    return parts


def warn_analyze(report: AnalyzeReport, output: Output) -> None:
    """Say on stderr what is not as it should be, or not counted."""
    for entry in report.categories:
        if entry.below and entry.threshold is not None:
            critical = ", which is critical" if entry.critical else ""
            output.warn(
                f"{entry.name}{critical}: {percent(entry.covered_percent)} of the nodes covered, below "
                f"{entry.threshold:g} %."
            )
    cost = report.cost
    if cost is None:
        output.warn(f"{report.model} is missing: coverage is its sidecar's, cost is not known.")
    else:
        for row in cost.unknown:
            output.warn(f"{plural(row.nodes, 'node')} of {row.operator} not counted: {row.reason}.")
        if any(sizes is None for sizes in cost.input_shapes.values()):
            names = [name for name, sizes in cost.input_shapes.items() if sizes is None]
            output.warn(f"sizes of {', '.join(names)} are not known; give them with --input-shape NAME=1,2.")
        if cost.total.unsized_values:
            values = plural(cost.total.unsized_values, "value")
            output.warn(f"{values} of unknown size not counted as activations.")
        if cost.once:
            output.warn(f"{plural(cost.once, 'node')} in branches and loops counted once each, however often they run.")
    if not report.passed and report.fail_under is not None:
        output.warn(f"{percent(report.covered_percent)} covered, below {report.fail_under:g} %.")


def _summary(report: AnalyzeReport) -> RenderableType:
    from rich.markup import escape

    grid = fields()
    if report.modules:
        grid.add_row("modules", escape(", ".join(report.modules)))
    if report.category:
        grid.add_row("category", report.category)
    grid.add_row(
        "nodes",
        f"[bold]{report.nodes}[/]  {percent(report.exact_percent)} exact, {percent(report.covered_percent)} covered",
    )
    known = "; ".join(f"{amount} {name}" for name, amount in report.evidence.items())
    grid.add_row("known by", escape(known))
    grid.add_row("tags", f"[bold]{report.unique_tags}[/]  different")
    if report.cost is not None:
        for name, text in _cost(report.cost):
            grid.add_row(name, text)
    return boxed(report.model, grid)


def _cost(cost: TotalCost) -> list[tuple[str, str]]:
    from rich.markup import escape

    total = cost.total
    least = "at least " if total.unknown_nodes else ""
    inputs = ", ".join(
        f"{escape(name)} {shape(sizes) if sizes is not None else '?'}" for name, sizes in cost.input_shapes.items()
    )
    without = f", without {escape(', '.join(cost.uncounted))}" if cost.uncounted else ""
    return [
        ("weights", f"[bold]{count(total.parameters)}[/] parameters, {size(total.weight_bytes)}"),
        ("MACs", f"{least}[bold]{count(total.macs)}[/]  [dim]for {inputs}[/]"),
        ("other", f"{count(total.other)} instructions [dim]by onnx-tool's count{without}[/]"),
        ("results", f"{size(total.activation_bytes)} in all values"),
    ]


def _table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))


def _categories(report: AnalyzeReport, *, detailed: bool) -> Table:
    table = _table()
    table.add_column("category", overflow="fold")
    for header in ("nodes", "exact", "covered", "at least"):
        table.add_column(header, justify="right", no_wrap=True)
    if detailed or report.category:
        table.add_column("operators", overflow="fold")
    for row in report.categories:
        cells = [row.name, str(row.total), percent(row.exact_percent), percent(row.covered_percent)]
        cells.append("" if row.threshold is None else f"{row.threshold:g} %")
        if detailed or report.category:
            cells.append(", ".join(f"{n} {name}" for name, n in row.operators.items()))
        table.add_row(*cells, style="yellow" if row.below else "")
    return table


def _tags(report: AnalyzeReport, *, detailed: bool) -> Table:
    from rich.text import Text

    table = _table()
    table.add_column("tag", overflow="fold")
    table.add_column("nodes", justify="right", no_wrap=True)
    shown = report.tags if detailed else report.tags[:TAGS]
    for row in shown:
        table.add_row(Text(row.tag), str(row.nodes))
    if len(shown) < len(report.tags):
        rest = report.tags[len(shown) :]
        table.add_row(
            Text(f"… {len(rest)} more tags; --detailed lists them", "dim italic"), str(sum(r.nodes for r in rest))
        )
    return table


def _calls(report: AnalyzeReport, width: int) -> Table:
    from rich.text import Text

    narrow = width < NARROW
    headers = ["nodes"]
    if report.cost is not None:
        headers += ["params", "MACs"] if narrow else ["params", "weights", "MACs", "share", "results"]
    whole = report.cost.total.macs if report.cost is not None else 0
    rows = [_cells(entry, whole, narrow=narrow) for entry in report.calls]
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    table = _table()
    # What is left beside the numbers: rich would take from these first.
    left = width - sum(widths) - 3 * (len(widths) + 1)
    table.add_column("module", no_wrap=True, overflow="ellipsis", max_width=max(left, 12))
    names = max((len(entry.fqn) for entry in report.calls), default=0)
    labels = max((2 * entry.depth + len(_segment(entry)) for entry in report.calls), default=0)
    named = labels + names + 3 <= left
    if named:
        table.add_column("name", no_wrap=True, overflow="ellipsis", style="dim")
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for entry, row in zip(report.calls, rows, strict=True):
        label = Text((" " if narrow else "  ") * entry.depth)
        label.append(_segment(entry), "bold" if entry.depth == 0 else "")
        table.add_row(label, *([Text(entry.fqn)] if named else []), *row)
    return table


def _cells(entry: CallEntry, whole: int, *, narrow: bool) -> list[str]:
    cells = [str(entry.nodes)]
    total = entry.total
    if total is None:
        return cells
    macs = (
        (f">{count(total.macs)}" if total.unknown_nodes else count(total.macs))
        if total.macs or total.unknown_nodes
        else ""
    )
    parameters = count(total.parameters) if total.parameters else ""
    if narrow:
        return [*cells, parameters, macs]
    weights = size(total.weight_bytes) if total.weight_bytes else ""
    share = percent(100.0 * total.macs / whole) if whole and total.macs else ""
    return [*cells, parameters, weights, macs, share, size(total.activation_bytes)]


def _nodes(report: AnalyzeReport) -> Table:
    from rich.text import Text

    table = _table()
    for header in ("node", "operator", "tag", "known by"):
        table.add_column(header, overflow="fold")
    table.add_column("MACs", justify="right", no_wrap=True)
    for row in report.node_list or ():
        name = f"{row.graph}:{row.output}" if row.graph else row.output
        macs = "?" if row.macs is None else count(row.macs) if row.macs else ""
        table.add_row(Text(name), row.op_type, Text(row.tag), f"{row.evidence}, {row.confidence}", macs)
    return table


def _segment(entry: CallEntry) -> str:
    return "/".join(entry.tag.strip("/").split("/")[-2 if entry.parent is None else -1 :])
