"""The options of `hx verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import Attn, Dtype, Experts, Json, Quiet, RandomWeights, Task, Verbose
from hx_cli._output import output_of


def verify(
    context: typer.Context,
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="X.onnx",
            help="A model that hx exported, or one made of it (--from). May be left out where the current folder holds exactly one export.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="The PyTorch model: a Hub id or folder, factory, or tiny:ARCH.",
            show_default=False,
        ),
    ] = ...,  # pyright: ignore[reportArgumentType] typer's word for required
    original: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="EXPORT.onnx",
            help="The export that X.onnx was made of by a quantiser, converter or optimiser.",
            show_default=False,
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Inputs by name, .pt, .npz or .safetensors; default: those that the export recorded.",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Tensors held at once; both models run as often as that takes."),
    ] = "2GB",
    fail_over: Annotated[
        float | None,
        typer.Option(
            metavar="ERROR",
            help="Largest relative error, local and accumulated; default: found from the model, local only.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Rows of the table.")] = 10,
    dtype: Dtype = None,
    task: Task = None,
    attn: Attn = None,
    experts: Experts = None,
    random_weights: RandomWeights = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Compare every module call with PyTorch, alone and in the whole model, and name the first that is wrong."""
    from hx._model_spec import PyTorchModel
    from hx._verify.run import VerifyRequest, verify_calls
    from hx_cli._parse import parse_memory, parse_threshold
    from hx_cli.verify.view import show_verify

    out = output_of(context, verbose, quiet)
    request = VerifyRequest(
        against=PyTorchModel(against, random_weights, task, dtype, attn, experts),
        model=model,
        original=original,
        inputs_file=inputs,
        memory_bytes=parse_memory(memory),
        fail_over=parse_threshold(fail_over),
    )
    report = verify_calls(request, out)
    if json:
        out.json(report)
    else:
        show_verify(report, out, top=top)
    return int(report.failed)
