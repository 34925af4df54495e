"""The options of `hx profile`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import hx
from hx.files import sidecar_path
from hx_cli._options import InputsFile, InputShape, ModulePattern, Overwrite, argument, flag, value
from hx_cli._output import Output
from hx_cli._parse import parse_shapes
from hx_cli._paths import find_model
from hx_cli.profile.view import show_comparison, show_isolated, show_profile


def profile(
    out: Output,
    models: Annotated[
        list[Path] | None,
        argument(
            "[X.onnx] [B]", "A model that hx exported or relinked; two, or what --json saved of them, are compared."
        ),
    ] = None,
    inputs: InputsFile = None,
    input_shape: InputShape = None,
    runs: Annotated[int, typer.Option(min=1, help="Measured runs.")] = 20,
    warmup: Annotated[
        int | None,
        typer.Option(min=0, help="Runs before them, left out; default 3, none with --from-trace.", show_default=False),
    ] = None,
    optimization: Annotated[
        Literal["disable", "basic", "extended", "all"],
        typer.Option(help="What ONNX Runtime may change before it runs."),
    ] = "all",
    provider: Annotated[
        str, typer.Option(metavar="NAME", help="Execution provider: cpu, cuda, or ONNX Runtime's full name.")
    ] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Within an operator; 0 for ONNX Runtime's choice.")] = 0,
    from_trace: Annotated[Path | None, value("JSON", "A profile that ONNX Runtime wrote elsewhere.")] = None,
    graph: Annotated[
        Path | None, value("G.onnx", "The graph that it ran, of optimized_model_filepath; default: the model itself.")
    ] = None,
    module: ModulePattern = None,
    isolated: Annotated[
        bool, flag("Time the calls of --module alone too, and say what differs.", "--isolated")
    ] = False,
    depth: Annotated[int | None, typer.Option(min=0, help="Levels of the tree to show.", show_default=False)] = None,
    everything: Annotated[bool, flag("Show what takes less than 1 % too.", "--all", "-a")] = False,
    csv: Annotated[Path | None, value("FILE", "Write a table.")] = None,
    speedscope: Annotated[Path | None, value("FILE", "Write a file for speedscope.app.")] = None,
    chrome_trace: Annotated[Path | None, value("FILE", "Write a trace for Perfetto.")] = None,
    html: Annotated[Path | None, value("FILE", "Write a flame graph, one page.")] = None,
    overwrite: Overwrite = False,
) -> int:
    """Give the time of every kernel that really runs to the module call that it belongs to."""
    given = models or []
    kinds = {"csv": csv, "speedscope": speedscope, "chrome": chrome_trace, "html": html}
    files = {kind: path for kind, path in kinds.items() if path is not None}
    saved = len(given) == 1 and given[0].suffix == ".json"
    of_one = bool(files or from_trace or isolated or module)
    refused = {
        "hx profile takes one model, or two to compare": len(given) > 2,
        "two models are compared by module; files, --from-trace, --module and --isolated are of one": of_one
        and len(given) == 2,
        "a saved profile can be shown and compared; all else needs the model": of_one and saved,
        "--graph is what a trace ran, without --from-trace there is none": graph and not from_trace,
        "--isolated times the calls of --module, and none is named": isolated and not module,
        "--isolated runs the model, --from-trace does not": isolated and from_trace,
    }
    if reasons := [reason for reason, wrong in refused.items() if wrong]:
        message = f"These arguments do not go together: {reasons[0]}."
        raise hx.HxError(message, code="HX405", hint="See `hx profile --help`.")
    with out.progress() as progress:
        settings: dict[str, Any] = {"inputs": inputs, "input_shapes": parse_shapes(input_shape or [])}
        settings |= {"runs": runs, "warmup": warmup, "optimization": optimization, "provider": provider}
        settings |= {"threads": threads, "progress": progress}
        if len(given) == 2:
            sides = [path if path.suffix == ".json" else hx.profile(path, **settings) for path in given]
            record = hx.compare_profiles(*sides)
        elif saved:
            record = hx.Profile.load(given[0])
        else:
            if graph is not None and not given and sidecar_path(graph).exists():
                model = graph  # relinked before
            else:
                model = find_model(given[0] if given else None)
            if isolated:
                record = hx.profile_isolated(model, module or [], **settings)
            else:
                settings |= {"modules": module or [], "trace": from_trace, "graph": graph}
                record = hx.profile(model, **settings, files=files, overwrite=overwrite)
    if isinstance(record, hx.ProfileComparison):
        out.report(record, show_comparison, everything=everything)
    elif isinstance(record, hx.Profile):
        out.report(record, show_profile, depth=depth, everything=everything)
    else:
        out.report(record, show_isolated)
    return 0
