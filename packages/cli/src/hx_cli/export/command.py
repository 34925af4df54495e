"""The options of `hx export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import (
    Attn,
    Confidence,
    Dtype,
    Dynamic,
    DynamicShape,
    Embed,
    Experts,
    InputsFile,
    InputShape,
    Json,
    MinConfidence,
    ModelSpec,
    NoMetadata,
    NoVerify,
    Opset,
    Overwrite,
    Quiet,
    RandomWeights,
    StrategyName,
    Task,
    TorchNNNames,
    Verbose,
)
from hx_cli._output import output_of


def export(
    context: typer.Context,
    model: ModelSpec,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT.onnx", help="Default: NAME.onnx here.", show_default=False
        ),
    ] = None,
    overwrite: Overwrite = False,
    dynamic: Dynamic = False,
    dynamic_shape: DynamicShape = None,
    input_shape: InputShape = None,
    inputs: InputsFile = None,
    opset: Opset = None,
    torch_nn: TorchNNNames = "default",
    strategy: StrategyName = "dynamo",
    cross_check: Annotated[
        bool,
        typer.Option(
            "--cross-check",
            help="Ask the values of a run in PyTorch too, and list the nodes on which the sources disagree.",
        ),
    ] = False,
    min_confidence: MinConfidence = Confidence.low,
    embed: Embed = False,
    no_metadata: NoMetadata = False,
    keep_context: Annotated[
        bool, typer.Option("--keep-context", help="Write what was seen during the export, for debugging.")
    ] = False,
    dtype: Dtype = None,
    task: Task = None,
    attn: Attn = None,
    experts: Experts = None,
    random_weights: RandomWeights = False,
    no_verify: NoVerify = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Export a model with the graph that torch.onnx.export gives, and say which module made every node."""
    from hx._export import ExportRequest, export_model
    from hx._model_spec import PyTorchModel
    from hx_cli._parse import parse_shapes, parse_torch_nn
    from hx_cli.export.view import show_export

    out = output_of(context, verbose, quiet)
    request = ExportRequest(
        pytorch=PyTorchModel(model, random_weights, task, dtype, attn, experts),
        output=output,
        overwrite=overwrite,
        dynamic=dynamic,
        dynamic_shapes=dynamic_shape or [],
        input_shapes=parse_shapes(input_shape or []),
        inputs_file=inputs,
        opset=opset,
        torch_nn=parse_torch_nn(torch_nn),
        strategy=strategy,
        cross_check=cross_check,
        min_confidence=min_confidence.value,
        embed=embed,
        metadata=not no_metadata,
        keep_context=keep_context,
        verify=not no_verify,
    )
    report = export_model(request, out)
    if json:
        out.json(report)
    show_export(report, out, tables=not json, cross_checked=cross_check)
    return int(report.verification is not None and report.verification.status == "mismatch")
