"""The options of `hx analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import hx
from hx.files import check_writable, write_text
from hx_cli._options import Common, ModulePattern, OnnxFile, Overwrite, flag, value
from hx_cli._parse import parse_shapes, read_thresholds
from hx_cli._paths import find_model
from hx_cli.analyze.view import analyze_parts, as_text, warn_analyze
from hx_sidecar_schema import refuse_existing

DEPTH = 2
"""Levels of the table of modules, where nothing else is said."""


def analyze(
    context: typer.Context,
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
    input_shape: Annotated[
        list[str] | None,
        value("NAME=1,128", "Count for this shape of an input. Repeatable. Default: the recorded example's."),
    ] = None,
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
    *,
    common: Common,
) -> int:
    """Say how well nodes are attributed by operator category, and what each module costs: weights, MACs, results."""
    out = common.output(context)
    ending = output.suffix.lower() if output is not None else ""
    kind = "json" if common.json else form or {".json": "json", ".csv": "csv"}.get(ending, "table")
    if depth is None and kind == "table" and not module:
        depth = DEPTH
    if output is not None:
        refuse_existing([output], overwrite=overwrite)
        check_writable(output.parent)
    with out.progress() as progress:
        report = hx.analyze(
            find_model(model),
            module or [],
            category=category,
            depth=depth,
            sort=sort,
            detailed=detailed,
            thresholds=read_thresholds(threshold or [], thresholds),
            fail_under=fail_under,
            input_shapes=parse_shapes(input_shape or []),
            progress=progress,
        )
    if output is not None:
        write_text(output, as_text(report, kind), overwrite=True)
    elif kind == "table":
        out.data(*analyze_parts(report, out.stdout.width), asked=True)
    else:
        out.stdout.file.write(as_text(report, kind))
    warn_analyze(report, out)
    return int(not report.passed)
