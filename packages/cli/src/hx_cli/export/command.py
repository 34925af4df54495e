"""The options of `hx export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import Common, Embed, Exporting, Loading, ModelSpec, NoMetadata, NoVerify, Overwrite, flag, value


def export(
    context: typer.Context,
    model: ModelSpec,
    output: Annotated[Path | None, value("OUT.onnx", "Default: NAME.onnx here.", "--output", "-o")] = None,
    overwrite: Overwrite = False,
    embed: Embed = False,
    no_metadata: NoMetadata = False,
    keep_context: Annotated[
        bool, flag("Write what was seen during the export, for debugging.", "--keep-context")
    ] = False,
    no_verify: NoVerify = False,
    *,
    exporting: Exporting,
    loading: Loading,
    common: Common,
) -> int:
    """Export a model with the graph that torch.onnx.export gives, and say which module made every node."""
    import hx
    from hx_cli._paths import export_path
    from hx_cli.export.view import show_export

    out = common.output(context)
    with out.progress() as progress:
        report = hx.export(
            loading.spec(model),
            f=export_path(output, model),
            **exporting.settings(),
            verify=not no_verify,
            embed=embed,
            metadata=not no_metadata,
            keep_context=keep_context,
            overwrite=overwrite,
            progress=progress,
        ).report
    if common.json:
        out.json(report)
    show_export(report, out, tables=not common.json, cross_checked=exporting.cross_check)
    return int(report.verification is not None and report.verification.status == "mismatch")
