"""The options of `hx tree`."""

from __future__ import annotations

from typing import Annotated

import typer

from hx_cli._options import Json, ModulePattern, OnnxFile, Quiet, Verbose
from hx_cli._output import output_of


def tree(
    context: typer.Context,
    model: OnnxFile = None,
    module: ModulePattern = None,
    depth: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Levels below the root.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Show torch.nn modules and repetitions too.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Show the module tree of an export: calls, nodes, weights."""
    from hx._hierarchy.tree import read_tree
    from hx_cli.tree.view import show_tree

    out = output_of(context, verbose, quiet)
    report = read_tree(model, patterns=module or [], depth=depth, everything=everything, output=out)
    if json:
        out.json(report)
    else:
        show_tree(report, out, collapse=not everything)
    return 0
