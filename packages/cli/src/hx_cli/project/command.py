"""The options of `hx project`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import (
    Attn,
    Confidence,
    Dtype,
    Experts,
    Json,
    MinConfidence,
    Overwrite,
    Quiet,
    RandomWeights,
    Task,
    Verbose,
)
from hx_cli._output import output_of


def project(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="X.onnx", help="Any ONNX model.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.json",
            help="Default: X_hierarchy.json beside it.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The PyTorch model: module tree, ports and values of a run come from it.",
            show_default=False,
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Inputs by name for that run: .pt, .npz or .safetensors.",
            show_default=False,
        ),
    ] = None,
    min_confidence: MinConfidence = Confidence.low,
    dtype: Dtype = None,
    task: Task = None,
    attn: Attn = None,
    experts: Experts = None,
    random_weights: RandomWeights = False,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Say which module made every node of a model that was exported elsewhere; without torch, by what the file says."""
    from hx._model_spec import PyTorchModel
    from hx._project import ProjectRequest, project_model
    from hx_cli.project.view import show_project

    out = output_of(context, verbose, quiet)
    loading = PyTorchModel(against or "", random_weights, task, dtype, attn, experts)
    request = ProjectRequest(
        model=model,
        output=output,
        against=loading if against else None,
        inputs_file=inputs,
        min_confidence=min_confidence.value,
        overwrite=overwrite,
    )
    report = project_model(request, out)
    if json:
        out.json(report)
    else:
        show_project(report, out)
    return 0
