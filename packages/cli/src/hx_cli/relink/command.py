"""The options of `hx relink`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import Json, Overwrite, Quiet, Verbose
from hx_cli._output import output_of


def relink(
    context: typer.Context,
    model: Annotated[
        Path, typer.Argument(metavar="OPTIMISED.onnx", help="What a tool made of an exported model.")
    ],
    original: Annotated[
        Path,
        typer.Option("--from", metavar="X.onnx", help="The export that it was made of, with its sidecar."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.json",
            help="Default: OPTIMISED_hierarchy.json beside it.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Carry the hierarchy of an export to what a tool made of it: optimised, fused, quantised or converted."""
    from hx._relink import relink_model
    from hx_cli.relink.view import show_relink

    out = output_of(context, verbose, quiet)
    report = relink_model(model, original, output, out, overwrite=overwrite)
    if json:
        out.json(report)
    else:
        show_relink(report, out)
    return 0
