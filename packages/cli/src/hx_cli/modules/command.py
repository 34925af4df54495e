"""The options of `hx modules`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import ModulePattern, OnnxFile, Overwrite, Quiet, Verbose
from hx_cli._output import output_of


def modules(
    context: typer.Context,
    model: OnnxFile = None,
    module: ModulePattern = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.json",
            help="Write it there instead of stdout.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: Annotated[bool, typer.Option("--json", help="What it prints anyway: one JSON record.")] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Print what is known of every module as JSON: class, signature, parameters, children, and its nodes."""
    from hx._hierarchy.modules import read_modules
    from hx._paths import check_writable, refuse_existing
    from hx_sidecar_schema import atomic_folder

    out = output_of(context, verbose, quiet)
    if output is not None:
        refuse_existing([output], overwrite=overwrite)
        check_writable(output.parent)
    report = read_modules(model, module or [], out)
    if output is None:
        out.json(report)
        return 0
    with atomic_folder(output.parent) as staging:
        (staging / output.name).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    out.note(f"{len(report.modules)} modules and {len(report.operation_hierarchy)} nodes in {output}")
    return 0
