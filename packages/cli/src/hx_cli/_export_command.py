"""The options of `hx export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import (
    Attn,
    Confidence,
    Dtype,
    Embed,
    Experts,
    Json,
    MinConfidence,
    NoMetadata,
    NoVerify,
    Overwrite,
    Quiet,
    RandomWeights,
    Task,
    Verbose,
)
from hx_cli._output import output_of


def export(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Hub id or folder (org/name[@revision]), file.py:factory, package.module:factory, or tiny:ARCH.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT.onnx", help="Default: NAME.onnx here.", show_default=False
        ),
    ] = None,
    overwrite: Overwrite = False,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="Free the batch and sequence dimension of every input.")
    ] = False,
    dynamic_shape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:AXIS=SYMBOL", help="Free one axis. Repeatable.", show_default=False),
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=2,3,224,224", help="Shape of an example input. Repeatable.", show_default=False
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Example inputs by name: .pt, .npz or .safetensors.",
            show_default=False,
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(metavar="N", help="ONNX opset; default: the exporter's.", show_default=False),
    ] = None,
    torch_nn: Annotated[
        str,
        typer.Option(
            metavar="default|all|none|NAME,...",
            help="Which torch.nn classes have tags of their own; default: normalisation layers and Embedding.",
            show_default=False,
        ),
    ] = "default",
    strategy: Annotated[
        str,
        typer.Option(
            metavar="dynamo|htp|fx_graph|usage_based|auto",
            help="The exporter and the evidence; auto: the first of these that takes the model.",
        ),
    ] = "dynamo",
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
    from hx_cli._export import ExportRequest, export_model
    from hx_cli._export_view import show_export
    from hx_cli._parse import parse_shapes, parse_torch_nn
    from hx_cli._pytorch import PyTorchModel

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
