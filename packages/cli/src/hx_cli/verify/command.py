"""The options of `hx verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import Common, Loading, value


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
    against: Annotated[str, value("MODEL", "The PyTorch model: a Hub id or folder, factory, or tiny:ARCH.")] = ...,  # pyright: ignore[reportArgumentType] typer's word for required
    original: Annotated[
        Path | None,
        value("EXPORT.onnx", "The export that X.onnx was made of by a quantiser, converter or optimiser.", "--from"),
    ] = None,
    inputs: Annotated[
        Path | None,
        value("FILE", "Inputs by name, .pt, .npz or .safetensors; default: those that the export recorded."),
    ] = None,
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Tensors held at once; both models run as often as that takes.")
    ] = "2GB",
    fail_over: Annotated[
        float | None,
        value("ERROR", "Largest relative error, local and accumulated; default: found from the model, local only."),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Rows of the table.")] = 10,
    *,
    loading: Loading,
    common: Common,
) -> int:
    """Compare every module call with PyTorch, alone and in the whole model, and name the first that is wrong."""
    import hx
    from hx_cli._parse import parse_memory, parse_threshold
    from hx_cli._paths import find_model
    from hx_cli.verify.view import show_verify

    if model is None and original is not None:
        raise hx.HxError(
            "No model is named that was made of the export.",
            code="HX405",
            hint="Write it like `hx verify quantised.onnx --from export.onnx --against MODEL`.",
        )
    out = common.output(context)
    with out.progress() as progress:
        report = hx.verify(
            find_model(model),
            loading.spec(against),
            inputs=inputs,
            original=original,
            memory_bytes=parse_memory(memory),
            fail_over=parse_threshold(fail_over),
            progress=progress,
        )
    if common.json:
        out.json(report)
    else:
        show_verify(report, out, top=top)
    return int(report.failed)
