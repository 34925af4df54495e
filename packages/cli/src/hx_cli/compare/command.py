"""The options of `hx compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import Json, Quiet, Verbose
from hx_cli._output import output_of


def compare(
    context: typer.Context,
    left: Annotated[Path, typer.Argument(metavar="A.onnx", help="Any ONNX model.")],
    right: Annotated[Path, typer.Argument(metavar="B.onnx", help="Another one.")],
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Say whether two models have the same topology, whatever their nodes are called, and what differs by module."""
    from hx._compare import compare_models
    from hx_cli.compare.view import show_compare

    out = output_of(context, verbose, quiet)
    report = compare_models(left, right, out)
    if json:
        out.json(report)
    else:
        show_compare(report, out)
    return int(not report.same)
