"""The commands and their options. Whatever a command needs, it imports when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import (
    Attn,
    Dtype,
    Experts,
    Json,
    NoVerify,
    OnnxFile,
    Overwrite,
    Quiet,
    RandomWeights,
    Task,
    Verbose,
    Weights,
)
from hx_cli._output import Output

app = typer.Typer(
    name="hx",
    help="Export any PyTorch model to ONNX, know which module made every node, cut any module out.",
    epilog="Start with `hx demo`. Exit codes: 0 done, 1 the answer is no, 2 could not, 70 a bug in hx.",
    rich_markup_mode=None,  # rich in the help takes four times as long to import
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"hx {version('hx-cli')}")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction]
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    context.obj = Output(argv=context.meta.get("hx.argv", sys.argv[1:]))
    context.obj.adjust(verbose=verbose, quiet=quiet)


def _output(context: typer.Context, verbose: int, quiet: bool) -> Output:
    output: Output = context.obj
    output.adjust(verbose=verbose, quiet=quiet)
    return output


@app.command(short_help="See it work on a small model.")
def demo(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files.")
    ] = Path("hx-demo"),
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """See it work: export a small BERT, show its tree, cut a self-attention out, run it."""
    from hx_cli._demo import run_demo

    return run_demo(output, _output(context, verbose, quiet))


@app.command(short_help="PyTorch model to ONNX file and sidecar.")
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

    out = _output(context, verbose, quiet)
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
        keep_context=keep_context,
        verify=not no_verify,
    )
    report = export_model(request, out)
    if json:
        out.json(report)
    show_export(report, out, tables=not json)
    return int(report.verification is not None and report.verification.status == "mismatch")


@app.command(short_help="The module tree of an export.")
def tree(
    context: typer.Context,
    model: OnnxFile = None,
    module: Annotated[
        list[str] | None,
        typer.Option(
            "--module", "-m", metavar="PATTERN", help="Show these calls only. Repeatable.", show_default=False
        ),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Levels below the root.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Show torch.nn modules and repetitions too.")
    ] = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Show the module tree of an export: calls, nodes, weights."""
    from hx_cli._tree import read_tree
    from hx_cli._tree_view import show_tree

    out = _output(context, verbose, quiet)
    report = read_tree(model, patterns=module or [], depth=depth, everything=everything, output=out)
    if json:
        out.json(report)
    else:
        show_tree(report, out, collapse=not everything)
    return 0


@app.command(short_help="Module calls as ONNX models of their own.")
def extract(
    context: typer.Context,
    model: OnnxFile = None,
    module: Annotated[
        list[str] | None,
        typer.Option(
            "--module",
            "-m",
            metavar="PATTERN",
            help="A tag, tag pattern, fqn, fqn glob or class name, with @INDEX or @*. Repeatable.",
            show_default=False,
        ),
    ] = None,
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
    from hx_cli._extract import ExtractRequest, extract_calls
    from hx_cli._extract_view import show_extract
    from hx_cli._pytorch import PyTorchModel

    out = _output(context, verbose, quiet)
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


@app.command(short_help="Every call's numbers against PyTorch.")
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
    from hx_cli._parse import parse_memory, parse_threshold
    from hx_cli._pytorch import PyTorchModel
    from hx_cli._verify_calls import VerifyRequest, verify_calls
    from hx_cli._verify_view import show_verify

    out = _output(context, verbose, quiet)
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
