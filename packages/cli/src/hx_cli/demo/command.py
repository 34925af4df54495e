"""The options of `hx demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import Quiet, Verbose
from hx_cli._output import output_of


def demo(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files.")
    ] = Path("hx-demo"),
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """See it work: export a small BERT, show its tree, cut a self-attention out, run it."""
    from hx_cli.demo.run import run_demo

    return run_demo(output, output_of(context, verbose, quiet))
