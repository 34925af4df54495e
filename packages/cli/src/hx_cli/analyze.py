"""`hx analyze`: its options, and what it shows a person."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import hx
from hx.files import check_writable, sidecar_path, write_text
from hx.text import count, percent, plural, shape, size
from hx_cli._long_table import LongTable
from hx_cli._options import InputsFile, InputShape, ModulePattern, OnnxFile, Overwrite, flag, value
from hx_cli._output import PIPE_WIDTH, Output
from hx_cli._parse import parse_shapes, read_thresholds
from hx_cli._paths import find_model
from hx_cli._widgets import boxed, categories, coverage, escape, styled, table
from hx_sidecar_schema import refuse_existing

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from hx.records.analyze import AnalyzeReport, CallEntry, TotalCost

DEPTH = 2
"""Levels of the table of modules, where nothing else is said."""
TAGS = 8
"""Tags that are listed without --detailed."""
NARROW = 72


def analyze(
    out: Output,
    model: OnnxFile = None,
    module: ModulePattern = None,
    category: Annotated[str | None, value("NAME", "Only nodes of this operator category.")] = None,
    detailed: Annotated[bool, flag("List every tag and every node.", "--detailed")] = False,
    depth: Annotated[
        int | None,
        value("N", "Levels of modules. Default: 2 in tables, all of them below --module, in JSON and in CSV.", min=0),
    ] = None,
    sort: Annotated[
        Literal["macs", "params", "nodes"] | None,
        typer.Option(help="Modules below one parent, most first. Default: as they ran.", show_default=False),
    ] = None,
    inputs: InputsFile = None,
    input_shape: InputShape = None,
    threshold: Annotated[
        list[str] | None, value("NAME=PERCENT", "Warn where less of a category is covered. Repeatable.")
    ] = None,
    thresholds: Annotated[Path | None, value("FILE.toml", "Thresholds from a file: lines NAME = PERCENT.")] = None,
    fail_under: Annotated[
        float | None, value("PERCENT", "Exit code 1 where less of all nodes is covered.", min=0, max=100)
    ] = None,
    form: Annotated[
        Literal["table", "json", "csv"] | None,
        typer.Option("--format", help="Default: what the ending of -o says, else table.", show_default=False),
    ] = None,
    output: Annotated[Path | None, value("FILE", "Write the report to a file.", "--output", "-o")] = None,
    overwrite: Overwrite = False,
) -> int:
    """Say how well nodes are attributed by operator category, and what each module costs: weights, MACs, results."""
    ending = output.suffix.lower() if output is not None else ""
    kind = "json" if out.as_json else form or {".json": "json", ".csv": "csv"}.get(ending, "table")
    if depth is None and kind == "table" and not module:
        depth = DEPTH
    path = find_model(model)
    if output is not None:
        read = [path, sidecar_path(path), *([thresholds] if thresholds is not None else [])]
        refuse_existing([output], overwrite=overwrite, read=read)
        check_writable(output.parent)
    with out.progress() as progress:
        report = hx.analyze(
            path,
            module or [],
            category=category,
            depth=depth,
            sort=sort,
            detailed=detailed,
            thresholds=read_thresholds(threshold or [], thresholds),
            fail_under=fail_under,
            inputs=inputs,
            input_shapes=parse_shapes(input_shape or []),
            progress=progress,
        )
    if output is not None:
        write_text(output, _as_text(report, kind))
    elif kind == "table":
        out.data(*_parts(report, out.stdout.width), asked=True)
    else:
        out.stdout.file.write(_as_text(report, kind))
    _warn(report, out)
    return int(not report.passed)


def _as_text(report: AnalyzeReport, form: str) -> str:
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
        for part in _parts(report, PIPE_WIDTH):
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


def _parts(report: AnalyzeReport, width: int) -> list[RenderableType]:
    """Return the tables, for a number of columns."""
    parts = [_summary(report), _categories(report), _tags(report), _calls(report, width)]
    return parts if report.node_list is None else [*parts, _nodes(report)]


def _warn(report: AnalyzeReport, output: Output) -> None:
    """Say on stderr what is not as it should be, or not counted."""
    for entry in report.categories:
        if entry.below and entry.threshold is not None:
            critical = ", which is critical" if entry.critical else ""
            covered = f"{percent(entry.covered_percent)} of the nodes covered, below {entry.threshold:g} %"
            output.warn(f"{entry.name}{critical}: {covered}.")
    cost = report.cost
    if cost is None:
        output.warn(f"{report.model} is missing: coverage is its sidecar's, cost is not known.")
    else:
        for row in cost.unknown:
            output.warn(f"{plural(row.nodes, 'node')} of {row.operator} not counted: {row.reason}.")
        if names := [name for name, sizes in cost.input_shapes.items() if sizes is None]:
            output.warn(f"sizes of {', '.join(names)} are not known; give them with --input-shape NAME=1,2.")
        if cost.total.unsized_values:
            output.warn(f"{plural(cost.total.unsized_values, 'value')} of unknown size not counted as activations.")
        if cost.once:
            output.warn(f"{plural(cost.once, 'node')} in branches and loops counted once each, however often they run.")
    if not report.passed and report.fail_under is not None:
        output.warn(f"{percent(report.covered_percent)} covered, below {report.fail_under:g} %.")


def _summary(report: AnalyzeReport) -> RenderableType:
    known = "; ".join(f"{amount} {name}" for name, amount in report.evidence.items())
    rows = {
        "modules": escape(", ".join(report.modules)) or None,
        "category": report.category or None,
        "nodes": coverage(report),
        "known by": escape(known),
        "tags": f"[bold]{report.unique_tags}[/]  different",
    }
    return boxed(report.model, rows | (_costs(report.cost) if report.cost is not None else {}))


def _costs(cost: TotalCost) -> dict[str, str | None]:
    total = cost.total
    least = "at least " if total.unknown_nodes else ""
    shapes = {name: "?" if sizes is None else shape(sizes) for name, sizes in cost.input_shapes.items()}
    inputs = ", ".join(f"{escape(name)} {sizes}" for name, sizes in shapes.items())
    without = f", without {escape(', '.join(cost.uncounted))}" if cost.uncounted else ""
    return {
        "weights": f"[bold]{count(total.parameters)}[/] parameters, {size(total.weight_bytes)}",
        "MACs": f"{least}[bold]{count(total.macs)}[/]  [dim]for {inputs}[/]",
        "other": f"{count(total.other)} instructions [dim]by onnx-tool's count{without}[/]",
        "results": f"{size(total.activation_bytes)} in all values",
    }


def _categories(report: AnalyzeReport) -> Table:
    rows = [(row.name, row.total, row.exact_percent, row.covered_percent, row.threshold) for row in report.categories]
    if report.node_list is None and not report.category:
        return categories(rows)
    by_name = {row.name: row.operators.items() for row in report.categories}
    return categories(rows, {name: ", ".join(f"{n} {kind}" for kind, n in kinds) for name, kinds in by_name.items()})


def _tags(report: AnalyzeReport) -> Table:
    made = table(["tag"], ["nodes"])
    shown = report.tags if report.node_list is not None else report.tags[:TAGS]
    for row in shown:
        made.add_row(styled(row.tag), str(row.nodes))
    if rest := report.tags[len(shown) :]:
        more = styled(f"… {len(rest)} more tags; --detailed lists them", "dim italic")
        made.add_row(more, str(sum(row.nodes for row in rest)))
    return made


def _calls(report: AnalyzeReport, width: int) -> LongTable:
    narrow = width < NARROW
    headers = ["nodes"]
    if report.cost is not None:
        headers += ["params", "MACs"] if narrow else ["params", "weights", "MACs", "share", "results"]
    whole = report.cost.total.macs if report.cost is not None else 0
    rows = [_cells(entry, whole, narrow=narrow) for entry in report.calls]
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    # What is left beside the numbers.
    left = width - sum(widths) - 3 * (len(widths) + 1)
    names = max((len(entry.fqn) for entry in report.calls), default=0)
    labels = max((2 * entry.depth + len(_segment(entry)) for entry in report.calls), default=0)
    named = labels + names + 3 <= left
    made = LongTable({"module": "", **({"name": "dim"} if named else {})}, headers)
    for entry, row in zip(report.calls, rows, strict=True):
        label = styled((" " if narrow else "  ") * entry.depth)
        label.append(_segment(entry), "bold" if entry.depth == 0 else "")
        made.add_row([label, *([entry.fqn] if named else [])], row)
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
    from hx_sidecar_schema import node_name

    made = table(["node", "operator", "tag", "known by"], ["MACs"])
    for row in report.node_list or ():
        macs = "?" if row.macs is None else count(row.macs) if row.macs else ""
        name, known = (
            styled(node_name(row.graph, row.output)),
            f"{row.evidence}, {row.confidence}" if row.known else "not known",
        )
        made.add_row(name, row.op_type, styled(row.tag), known, macs)
    return made


def _segment(entry: CallEntry) -> str:
    return "/".join(entry.tag.strip("/").split("/")[-2 if entry.parent is None else -1 :])
