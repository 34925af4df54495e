"""`hx extract`: its options, and what it shows a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import hx
from hx.text import ending, number, plural, shape
from hx_cli._options import InputsFile, InputShape, Loading, ModulePattern, NoVerify, OnnxFile, Overwrite, flag, value
from hx_cli._output import Output
from hx_cli._parse import parse_shapes
from hx_cli._paths import find_model
from hx_cli._widgets import boxed, by_reason, by_status, call_name, escape, reasons, styled, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hx.records.extract import ExtractReport, ModuleEntry, PortEntry

ROWS = 40
"""More extracted calls than these are counted, not listed; `index.json` has them all, and -v lists them."""
NARROW = 100
INPUTS_WIDTH, BESIDE_NAME = 16, 40
"""Columns of a narrow table for the inputs, and for all but the call's name."""


def extract(
    loading: Loading,
    out: Output,
    model: OnnxFile = None,
    module: ModulePattern = None,
    everything: Annotated[bool, flag("Extract every call.", "--all", "-a")] = False,
    output: Annotated[Path | None, value("OUT", "A file for one call, a folder for several.", "--output", "-o")] = None,
    inputs: InputsFile = None,
    input_shape: InputShape = None,
    weights: Annotated[
        Literal["copy", "share", "none"],
        typer.Option(help="copy them, share the parent's data file, or none: shapes only."),
    ] = "copy",
    weights_from: Annotated[
        Path | None,
        value("SHARDS", "Give the parts the weights of this safetensors file or folder, by the names of parameters."),
    ] = None,
    against: Annotated[
        str | None,
        value("MODEL", "Compare with the modules of this PyTorch model, instead of with the whole ONNX model."),
    ] = None,
    overwrite: Overwrite = False,
    no_verify: NoVerify = False,
) -> int:
    """Cut module calls out as ONNX models that run alone, with forward()'s own inputs."""
    if not module and not everything:
        hint = "Add --module PATTERN, or --all; `hx tree` shows the modules."
        raise hx.HxError("Nothing is named to extract.", code="HX405", hint=hint)
    with out.progress() as progress:
        report = hx.extract(
            find_model(model),
            None if everything else module,
            output,
            inputs=inputs,
            input_shapes=parse_shapes(input_shape or []),
            weights=weights,
            weights_from=weights_from,
            against=loading.spec(against) if against else None,
            verify=not no_verify,
            overwrite=overwrite,
            progress=progress,
        )
    show_extract(report, out)
    return int(report.failed)


def show_extract(report: ExtractReport, output: Output) -> None:
    """Print what was written on stdout, and on stderr what differs from its original."""
    entry, *others = report.modules
    if output.as_json:
        output.json(report)
    elif others or entry.file is None or not report.output.endswith(".onnx"):
        _show_folder(report, output)
    else:
        output.data(_one(entry, report))
    failed = [entry for entry in report.modules if entry.failed]
    causes = [[entry] for entry in failed if entry.file] + by_reason(entry for entry in failed if not entry.file)
    for first, *others in causes[:10]:
        output.warn(f"{first.tag}{f' and {len(others)} more' if others else ''}: {first.reason}")
    if len(causes) > 10:
        output.warn(f"and {plural(len(causes) - 10, 'more reason')}; see `reason` in the index.")


def _show_folder(report: ExtractReport, output: Output) -> None:
    done = [entry for entry in report.modules if entry.status == "extractable"]
    listed = done if output.verbosity > 0 else done[:ROWS]
    if listed:
        output.data(_table(listed, output.stdout.width, compared=report.compared_with is not None))
    if len(listed) < len(done):
        output.data(f"[dim]… and {len(done) - len(listed)} more; -v lists them all.[/]")
    written = [entry for entry in done if entry.file is not None]
    lines = [f"[bold]{plural(len(written), 'model')}[/] and index.json in [bold]{escape(report.output)}[/]"]
    if report.compared_with is not None:
        unknown = [entry for entry in written if entry.max_abs_error is None and not entry.failed]
        if compared := len(written) - len(unknown):
            equal = compared - report.mismatches
            states = ["[green]all equal[/]" if equal == len(written) else f"{equal} of {len(written)} equal"]
            states += [f"[bold red]{report.mismatches} differ[/]"] if report.mismatches else []
            errors = [entry.relative_error or 0.0 for entry in written if entry.max_abs_error is not None]
            states += [f"largest error {number(max(errors))} of the largest value"] if errors else []
            lines.append(f"compared with {_original(report)}: {', '.join(states)}")
        lines += reasons(unknown, "not compared")
    if report.refused:
        lines.append(f"[bold red]{plural(report.refused, 'call')} could not be cut out[/]")
    others = Counter(entry.status for entry in report.modules if entry.status != "extractable")
    if others:
        lines.append(f"[dim]{plural(others.total(), 'call')} without a model of its own: {by_status(others)}[/]")
    if report.removed:
        lines.append(f"[dim]removed of an earlier run: {escape(', '.join(report.removed))}[/]")
    output.data("\n".join(lines))


def _table(entries: Sequence[ModuleEntry], width: int, *, compared: bool) -> RenderableType:
    narrow = width < NARROW
    made = table(["call"])
    made.add_column("inputs", overflow="fold", style="cyan", max_width=INPUTS_WIDTH if narrow else None)
    if not narrow:
        made.add_column("outputs", overflow="fold", style="cyan")
    made.add_column("nodes", justify="right", no_wrap=True, min_width=5)
    if compared:
        made.add_column("error", justify="right", no_wrap=True, min_width=7)
    for entry in entries:
        name = call_name(entry.fqn, entry.tag, entry.call)
        cells = [ending(name, max(width - BESIDE_NAME, 12)) if narrow else name, _names(entry.inputs)]
        cells += [] if narrow else [_names(entry.outputs)]
        cells += [str(entry.nodes), *([_error(entry)] if compared else [])]
        made.add_row(*map(styled, cells), style="bold red" if entry.failed else "")
    return made


def _one(entry: ModuleEntry, report: ExtractReport) -> RenderableType:
    if report.compared_with is None:
        numbers = "[dim]not compared[/]"
    elif entry.failed:
        numbers = f"[bold red]not {_original(report)}'s[/]  {escape(entry.reason)}"
    elif entry.max_abs_error is None:
        numbers = f"[yellow]{escape(entry.reason)}[/]"
    else:
        error = number(entry.relative_error)
        numbers = f"[green]equal to {_original(report)}'s[/] within {error} of the largest value"
    rows = {
        "module": escape(entry.tag),
        "inputs": _ports(entry.inputs),
        "outputs": _ports(entry.outputs),
        "nodes": str(entry.nodes),
        "numbers": numbers,
        "file": f"[bold]{escape(report.output)}[/]",
    }
    return boxed(entry.fqn or entry.tag, rows)


def _ports(ports: Sequence[PortEntry]) -> str:
    lines: list[str] = []
    for port in ports:
        line = f"{escape(port.name)} [dim]{shape(port.shape)} {port.dtype.lower()}[/]"
        if port.unused:
            line = f"[dim]{escape(port.name)} unused: not in the graph[/]"
        elif port.implicit:
            line += " [yellow]implicit: no argument of forward()[/]"
        lines.append(line)
    return "\n".join(lines)


def _error(entry: ModuleEntry) -> str:
    if entry.max_abs_error is not None:
        return number(entry.max_abs_error)
    return "failed" if entry.failed else "?"


def _names(ports: Sequence[PortEntry]) -> str:
    return ", ".join(port.name for port in ports if not port.unused)


def _original(report: ExtractReport) -> str:
    return "PyTorch" if report.compared_with == "pytorch" else "the whole model"
