"""The options of `hx tree`."""

from __future__ import annotations

from typing import Annotated

import typer

from hx_cli._options import Common, ModulePattern, OnnxFile, flag, value


def tree(
    context: typer.Context,
    model: OnnxFile = None,
    module: ModulePattern = None,
    depth: Annotated[int | None, value("N", "Levels below the root.", min=0)] = None,
    everything: Annotated[bool, flag("Show torch.nn modules and repetitions too.", "--all", "-a")] = False,
    *,
    common: Common,
) -> int:
    """Show the module tree of an export: calls, nodes, weights."""
    import hx
    from hx_cli._paths import find_model
    from hx_cli.tree.view import show_tree

    out = common.output(context)
    report = hx.tree(find_model(model), module or [], depth=depth, everything=everything)
    if common.json:
        out.json(report)
    else:
        show_tree(report, out, collapse=not everything)
    return 0
