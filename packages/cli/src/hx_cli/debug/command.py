"""The options of `hx debug`."""

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
    Experts,
    InputsFile,
    InputShape,
    Json,
    MinConfidence,
    ModelSpec,
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


def debug(
    context: typer.Context,
    model: ModelSpec,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="SESSION", help="The folder to make.", show_default=False),
    ],
    with_weights: Annotated[
        bool,
        typer.Option(
            "--with-weights", help="Keep the numbers of weights and inputs; without it, shapes only."
        ),
    ] = False,
    overwrite: Overwrite = False,
    dynamic: Dynamic = False,
    dynamic_shape: DynamicShape = None,
    input_shape: InputShape = None,
    inputs: InputsFile = None,
    opset: Opset = None,
    torch_nn: TorchNNNames = "default",
    strategy: StrategyName = "dynamo",
    cross_check: Annotated[
        bool, typer.Option("--cross-check", help="Ask the values of a run in PyTorch too.")
    ] = False,
    min_confidence: MinConfidence = Confidence.low,
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
    """Export a model with and without hx, and put all that a maintainer would ask for into one folder.

    Exit code 0 where both exports exist and are alike, 1 where they are not, or one of them fails, 2 where the model cannot be loaded;
    the folder is there in each case.
    """
    from tempfile import TemporaryDirectory

    from hx._debug.journal import Journal
    from hx._debug.redacted import redactor, spec_folders
    from hx._debug.run import Session, run_session
    from hx._debug.write import whole_folder, write_session
    from hx._export import ExportRequest
    from hx._model_spec import PyTorchModel
    from hx._paths import check_writable, refuse_existing
    from hx_cli._parse import parse_shapes, parse_torch_nn
    from hx_cli.debug.view import show_debug

    out = output_of(context, verbose, quiet)
    request = ExportRequest(
        pytorch=PyTorchModel(model, random_weights, task, dtype, attn, experts),
        dynamic=dynamic,
        dynamic_shapes=dynamic_shape or [],
        input_shapes=parse_shapes(input_shape or []),
        inputs_file=inputs,
        opset=opset,
        torch_nn=parse_torch_nn(torch_nn),
        strategy=strategy,
        cross_check=cross_check,
        min_confidence=min_confidence.value,
        verify=not no_verify,
    )
    refuse_existing([output], overwrite=overwrite)
    check_writable(output.parent)
    places = spec_folders(model)
    journal = Journal(out, redactor(places, numbers=not with_weights))
    with TemporaryDirectory() as reports:
        session = Session(request, journal, redactor(places, numbers=False), Path(reports))
        run_session(session)
        with whole_folder(output) as folder:
            report = write_session(session, folder, output, with_weights=with_weights)
    if json:
        out.json(report)
    else:
        show_debug(report, str(output), out)
    if session.failure is not None:
        raise session.failure
    return int(report.verdict != "same")
