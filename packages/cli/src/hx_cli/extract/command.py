"""The options of `hx extract`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import (
    Attn,
    Dtype,
    Experts,
    Json,
    ModulePattern,
    NoVerify,
    OnnxFile,
    Overwrite,
    Quiet,
    RandomWeights,
    Task,
    Verbose,
    Weights,
)
from hx_cli._output import output_of


def extract(
    context: typer.Context,
    model: OnnxFile = None,
    module: ModulePattern = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Extract every call.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file for one call, a folder for several.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        Weights, typer.Option(help="copy them, share the parent's data file, or none: shapes only.")
    ] = Weights.copy,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Compare with the modules of this PyTorch model, instead of with the whole ONNX model.",
            show_default=False,
        ),
    ] = None,
    dtype: Dtype = None,
    task: Task = None,
    attn: Attn = None,
    experts: Experts = None,
    random_weights: RandomWeights = False,
    overwrite: Overwrite = False,
    no_verify: NoVerify = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Cut module calls out as ONNX models that run alone, with forward()'s own inputs."""
    from hx._extract import ExtractRequest, extract_calls
    from hx._model_spec import PyTorchModel
    from hx_cli.extract.view import show_extract

    out = output_of(context, verbose, quiet)
    loading = PyTorchModel(against or "", random_weights, task, dtype, attn, experts)
    request = ExtractRequest(
        model=model,
        patterns=module or [],
        everything=everything,
        output=output,
        weights=weights.value,
        against=loading if against else None,
        overwrite=overwrite,
        verify=not no_verify,
    )
    report = extract_calls(request, out)
    if json:
        out.json(report)
    show_extract(report, out, tables=not json)
    return int(report.mismatches > 0)
