"""`hx split` and `hx join`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import hx
from hx.text import count, duration, plural, size
from hx_cli._options import PROFILE_RECORD, NoVerify, OnnxFile, Overwrite, argument, flag, value
from hx_cli._output import Output
from hx_cli._paths import find_model
from hx_cli._widgets import escape, styled, table

if TYPE_CHECKING:
    from hx.records.split import JoinReport, SplitReport


def split(
    out: Output,
    model: OnnxFile = None,
    into: Annotated[int | None, value("N", "Number of stages, as even as they can be.")] = None,
    at: Annotated[
        list[str] | None, value("PATTERN", "Begin a stage with this call, instead of --into. Repeatable.")
    ] = None,
    by: Annotated[
        Literal["weights", "macs", "time"] | None,
        typer.Option(help="What --into balances; default: weights, or time with --profile.", show_default=False),
    ] = None,
    profile: Annotated[Path | None, value("FILE", PROFILE_RECORD)] = None,
    output: Annotated[
        Path | None, value("OUT", "A folder, by default X_stages; with --annotate the file.", "--output", "-o")
    ] = None,
    annotate: Annotated[
        bool, flag("Cut nothing: write the stage on every node, for ONNX Runtime's layer assignment.", "--annotate")
    ] = False,
    no_verify: NoVerify = False,
    overwrite: Overwrite = False,
) -> int:
    """Cut a model between module calls into stages for a pipeline or several devices."""
    with out.progress() as progress:
        report = hx.split(
            find_model(model),
            into,
            output,
            at=at or (),
            by=by,
            profile=profile,
            annotate=annotate,
            verify=not no_verify,
            overwrite=overwrite,
            progress=progress,
        )
    out.report(report, _show_split)
    return int(report.compared is False)


def _show_split(report: SplitReport, output: Output) -> None:
    """Print the stages."""
    timed = any(stage.time_us is not None for stage in report.stages)
    made = table(["stage", "begins with"], ["nodes", "weights", "MACs", *(["time"] if timed else []), "takes"])
    for number, stage in enumerate(report.stages):
        sizes = [wire.size_bytes for wire in stage.inputs if wire.source is not None]
        known = size(sum(one for one in sizes if one is not None)) if sizes else ""
        cells = [
            stage.name,
            stage.begins or ("inside" if number else "the model"),
            str(stage.nodes),
            size(stage.weight_bytes),
            count(stage.macs),
        ]
        cells += [duration(stage.time_us)] if timed else []
        made.add_row(*map(styled, [*cells, known + (" + ?" if None in sizes else "")]))
    output.data(made)
    states = {
        True: "[green]equal[/] to the whole model, bit for bit",
        False: "[bold red]not equal[/] to the whole model",
    }
    state = f"; {states[report.compared]}" if report.compared is not None else ""
    what = "1 model whose nodes name their stages" if report.annotated else plural(len(report.stages), "model")
    output.data(f"[bold]{what}[/] in [bold]{escape(report.output)}[/]  [dim]{size(report.size_bytes)}[/]{state}")
    if report.removed:
        output.data(f"[dim]removed of an earlier run: {escape(', '.join(report.removed))}[/]")
    for note in report.notes:
        output.note(escape(note))


def join(
    out: Output,
    stages: Annotated[Path, argument("DIR", "A folder that `hx split` wrote, or its stages.json.")],
    output: Annotated[
        Path | None, value("OUT.onnx", "The file; default: the name that the model had, here.", "--output", "-o")
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Put the stages of a model together again."""
    with out.progress() as progress:
        report = hx.join(stages, output, overwrite=overwrite, progress=progress)
    out.report(report, _show_join)
    return 0


def _show_join(report: JoinReport, output: Output) -> None:
    """Print what was written."""
    what = "the graph that was split" if report.same else "[yellow]a changed graph[/]: a stage was changed"
    nodes = f"{plural(report.nodes, 'node')} of {plural(report.stages, 'stage')}"
    output.data(f"{nodes} in [bold]{escape(report.file.path)}[/]  [dim]{size(report.file.size_bytes)}[/]: {what}")
