"""What `hx analyze` shows a person."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from hx.text import count, percent, plural, shape, size
from hx_cli._output import PIPE_WIDTH, Output
from hx_cli._widgets import add_numbers, boxed, categories, coverage, escape, fields, table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from hx.records.analyze import AnalyzeReport, CallEntry, TotalCost

TAGS = 8
"""Tags that are listed without --detailed."""
NARROW = 72


def as_text(report: AnalyzeReport, form: str) -> str:
    """Return what a file of the report holds: `json`, `csv` or `table`."""
    if form == "json":
        return report.model_dump_json(indent=2) + "\n"
    text = io.StringIO()
    if form == "csv":
        rows = _csv_rows(report)
        writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        from rich.console import Console

        console = Console(file=text, width=PIPE_WIDTH, color_system=None)
        for part in analyze_parts(report, PIPE_WIDTH):
            console.print(part, highlight=False)
    return text.getvalue()


def _csv_rows(report: AnalyzeReport) -> list[dict[str, Any]]:
    """Return the calls as rows, or with --detailed the nodes."""
    if report.node_list is not None:
        return [row.model_dump() for row in report.node_list]
    rows: list[dict[str, Any]] = []
    for entry in report.calls:
        row = entry.model_dump(exclude={"total", "own"})
        for prefix, cost in (("", entry.total), ("own_", entry.own)):
            row |= {f"{prefix}{k}": v for k, v in cost.model_dump(exclude={"nodes"}).items()} if cost else {}
        rows.append(row)
    return rows


def analyze_parts(report: AnalyzeReport, width: int) -> list[RenderableType]:
    """Return the tables, for a number of columns."""
    parts = [_summary(report), _categories(report), _tags(report), _calls(report, width)]
    return parts if report.node_list is None else [*parts, _nodes(report)]


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
    grid = fields()
    if report.modules:
        grid.add_row("modules", escape(", ".join(report.modules)))
    if report.category:
        grid.add_row("category", report.category)
    grid.add_row("nodes", coverage(report))
    known = "; ".join(f"{amount} {name}" for name, amount in report.evidence.items())
    grid.add_row("known by", escape(known))
    grid.add_row("tags", f"[bold]{report.unique_tags}[/]  different")
    if report.cost is not None:
        _add_cost(grid, report.cost)
    return boxed(report.model, grid)


def _add_cost(grid: Table, cost: TotalCost) -> None:
    total = cost.total
    least = "at least " if total.unknown_nodes else ""
    inputs = ", ".join(
        f"{escape(name)} {shape(sizes) if sizes is not None else '?'}" for name, sizes in cost.input_shapes.items()
    )
    without = f", without {escape(', '.join(cost.uncounted))}" if cost.uncounted else ""
    grid.add_row("weights", f"[bold]{count(total.parameters)}[/] parameters, {size(total.weight_bytes)}")
    grid.add_row("MACs", f"{least}[bold]{count(total.macs)}[/]  [dim]for {inputs}[/]")
    grid.add_row("other", f"{count(total.other)} instructions [dim]by onnx-tool's count{without}[/]")
    grid.add_row("results", f"{size(total.activation_bytes)} in all values")


def _categories(report: AnalyzeReport) -> Table:
    rows = [(row.name, row.total, row.exact_percent, row.covered_percent, row.threshold) for row in report.categories]
    if report.node_list is None and not report.category:
        return categories(rows)
    by_name = {row.name: row.operators.items() for row in report.categories}
    return categories(rows, {name: ", ".join(f"{n} {kind}" for kind, n in kinds) for name, kinds in by_name.items()})


def _tags(report: AnalyzeReport) -> Table:
    from rich.text import Text

    made = table(["tag"], ["nodes"])
    shown = report.tags if report.node_list is not None else report.tags[:TAGS]
    for row in shown:
        made.add_row(Text(row.tag), str(row.nodes))
    if rest := report.tags[len(shown) :]:
        more = Text(f"… {len(rest)} more tags; --detailed lists them", "dim italic")
        made.add_row(more, str(sum(row.nodes for row in rest)))
    return made


def _calls(report: AnalyzeReport, width: int) -> Table:
    from rich.text import Text

    narrow = width < NARROW
    headers = ["nodes"]
    if report.cost is not None:
        headers += ["params", "MACs"] if narrow else ["params", "weights", "MACs", "share", "results"]
    whole = report.cost.total.macs if report.cost is not None else 0
    rows = [_cells(entry, whole, narrow=narrow) for entry in report.calls]
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    made = table()
    # What is left beside the numbers: rich would take from these first.
    left = width - sum(widths) - 3 * (len(widths) + 1)
    made.add_column("module", no_wrap=True, overflow="ellipsis", max_width=max(left, 12))
    names = max((len(entry.fqn) for entry in report.calls), default=0)
    labels = max((2 * entry.depth + len(_segment(entry)) for entry in report.calls), default=0)
    named = labels + names + 3 <= left
    if named:
        made.add_column("name", no_wrap=True, overflow="ellipsis", style="dim")
    add_numbers(made, headers)
    for entry, row in zip(report.calls, rows, strict=True):
        label = Text((" " if narrow else "  ") * entry.depth)
        label.append(_segment(entry), "bold" if entry.depth == 0 else "")
        made.add_row(label, *([Text(entry.fqn)] if named else []), *row)
    return made


def _cells(entry: CallEntry, whole: int, *, narrow: bool) -> list[str]:
    cells = [str(entry.nodes)]
    total = entry.total
    if total is None:
        return cells
    macs = f">{count(total.macs)}" if total.unknown_nodes else count(total.macs) if total.macs else ""
    parameters = count(total.parameters) if total.parameters else ""
    if narrow:
        return [*cells, parameters, macs]
    weights = size(total.weight_bytes) if total.weight_bytes else ""
    share = percent(100.0 * total.macs / whole) if whole and total.macs else ""
    return [*cells, parameters, weights, macs, share, size(total.activation_bytes)]


def _nodes(report: AnalyzeReport) -> Table:
    from rich.text import Text

    from hx_sidecar_schema import node_name

    made = table(["node", "operator", "tag", "known by"], ["MACs"])
    for row in report.node_list or ():
        macs = "?" if row.macs is None else count(row.macs) if row.macs else ""
        made.add_row(
            Text(node_name(row.graph, row.output)),
            row.op_type,
            Text(row.tag),
            f"{row.evidence}, {row.confidence}",
            macs,
        )
    return made


def _segment(entry: CallEntry) -> str:
    return "/".join(entry.tag.strip("/").split("/")[-2 if entry.parent is None else -1 :])
