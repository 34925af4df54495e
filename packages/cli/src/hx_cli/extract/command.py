"""The options of `hx extract`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import Common, Loading, ModulePattern, NoVerify, OnnxFile, Overwrite, Weights, flag, value


def extract(
    context: typer.Context,
    model: OnnxFile = None,
    module: ModulePattern = None,
    everything: Annotated[bool, flag("Extract every call.", "--all", "-a")] = False,
    output: Annotated[Path | None, value("OUT", "A file for one call, a folder for several.", "--output", "-o")] = None,
    weights: Annotated[
        Weights, typer.Option(help="copy them, share the parent's data file, or none: shapes only.")
    ] = Weights.copy,
    against: Annotated[
        str | None,
        value("MODEL", "Compare with the modules of this PyTorch model, instead of with the whole ONNX model."),
    ] = None,
    overwrite: Overwrite = False,
    no_verify: NoVerify = False,
    *,
    loading: Loading,
    common: Common,
) -> int:
    """Cut module calls out as ONNX models that run alone, with forward()'s own inputs."""
    import hx
    from hx_cli._paths import find_model
    from hx_cli.extract.view import show_extract

    if not module and not everything:
        raise hx.HxError(
            "Nothing is named to extract.",
            code="HX405",
            hint="Add --module PATTERN, or --all; `hx tree` shows the modules.",
        )
    out = common.output(context)
    with out.progress() as progress:
        report = hx.extract(
            find_model(model),
            None if everything else module,
            output,
            weights=weights.value,
            against=loading.spec(against) if against else None,
            verify=not no_verify,
            overwrite=overwrite,
            progress=progress,
        )
    if common.json:
        out.json(report)
    show_extract(report, out, tables=not common.json)
    return int(report.mismatches > 0)
