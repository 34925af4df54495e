"""The options of `hx profile`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hx_cli._options import Json, ModulePattern, Overwrite, Quiet, Verbose
from hx_cli._output import output_of


class Optimization(StrEnum):
    """ONNX Runtime's levels of graph optimisation."""

    disable = "disable"
    basic = "basic"
    extended = "extended"
    all = "all"


def profile(
    context: typer.Context,
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[X.onnx] [B]",
            help="A model that hx exported or relinked; two, or what --json saved of them, are compared.",
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
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=2,128",
            help="Another size of a recorded input, or the size of one that was not recorded. Repeatable.",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Measured runs.")] = 20,
    warmup: Annotated[
        int | None,
        typer.Option(
            min=0, help="Runs before them, left out; default 3, none with --from-trace.", show_default=False
        ),
    ] = None,
    optimization: Annotated[
        Optimization, typer.Option(help="What ONNX Runtime may change before it runs.")
    ] = Optimization.all,
    provider: Annotated[
        str, typer.Option(metavar="NAME", help="Execution provider: cpu, cuda, or ONNX Runtime's full name.")
    ] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Within an operator; 0 for ONNX Runtime's choice.")] = 0,
    from_trace: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="A profile that ONNX Runtime wrote elsewhere.", show_default=False),
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option(
            metavar="G.onnx",
            help="The graph that it ran, of optimized_model_filepath; default: the model itself.",
            show_default=False,
        ),
    ] = None,
    module: ModulePattern = None,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="Time the calls of --module alone too, and say what differs.")
    ] = False,
    depth: Annotated[
        int | None, typer.Option(min=0, help="Levels of the tree to show.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Show what takes less than 1 % too.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a table.", show_default=False)
    ] = None,
    speedscope: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a file for speedscope.app.", show_default=False)
    ] = None,
    chrome_trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a trace for Perfetto.", show_default=False)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a flame graph, one page.", show_default=False)
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> int:
    """Give the time of every kernel that really runs to the module call that it belongs to."""
    from hx._profile import ProfileRequest, profile_models
    from hx_cli.profile.view import show

    out = output_of(context, verbose, quiet)
    request = ProfileRequest(
        models=models or [],
        inputs=inputs,
        input_shapes=input_shape or [],
        runs=runs,
        warmup=warmup,
        optimization=optimization.value,
        provider=provider,
        threads=threads,
        trace=from_trace,
        graph=graph,
        patterns=module or [],
        isolated=isolated,
        files={"csv": csv, "speedscope": speedscope, "chrome": chrome_trace, "html": html},
        overwrite=overwrite,
    )
    found = profile_models(request, out)
    if json:
        out.json(found.record)
    else:
        show(found.record, out, roots=found.roots, depth=depth, everything=everything)
    return 0
