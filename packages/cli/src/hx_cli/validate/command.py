"""The options of `hx validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import Json, OnnxFile, Quiet, Verbose
from hx_cli._output import output_of


def validate(
    context: typer.Context,
    model: OnnxFile = None,
    sidecar: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Default: X_hierarchy.json beside it, else the one inside the model's metadata.",
            show_default=False,
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Rewrite what the model and the sound rows give: consumers, tags, numbers. Then check again.",
        ),
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Check that a model is valid, that its sidecar belongs to it, and that every row of the sidecar is consistent."""
    from hx._validate import validate_files
    from hx_cli.validate.view import show_validate

    out = output_of(context, verbose, quiet)
    report = validate_files(model, sidecar, repair=repair, output=out)
    if json:
        out.json(report)
    else:
        show_validate(report, out)
    return int(not report.valid)
