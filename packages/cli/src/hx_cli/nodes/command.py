"""The options of `hx nodes`."""

from __future__ import annotations

from typing import Annotated

import typer

from hx_cli._options import Json, OnnxFile, Quiet, Verbose
from hx_cli._output import output_of


def nodes(
    context: typer.Context,
    module: Annotated[
        list[str],
        typer.Option(
            "--module",
            "-m",
            metavar="PATTERN",
            help="A tag, tag pattern, fqn, fqn glob or class name, with @INDEX or @*. Repeatable.",
            show_default=False,
        ),
    ],
    model: OnnxFile = None,
    own: Annotated[
        bool, typer.Option("--own", help="Leave out the nodes of the calls inside these.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Print the names of the nodes of module calls, one a line, for tools that take names of nodes."""
    from hx._hierarchy.nodes import named, read_nodes

    out = output_of(context, verbose, quiet)
    report = read_nodes(model, module, own=own, output=out)
    if json:
        out.json(report)
    else:
        print("\n".join(named(report)))
    return 0
