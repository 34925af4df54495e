"""`hx export`: its options, and what it shows a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import hx
from hx.text import count, number, percent, plural, shape, size
from hx_cli._options import Exporting, Loading, ModelSpec, NoVerify, Overwrite, flag, value
from hx_cli._output import Output
from hx_cli._paths import export_path
from hx_cli._widgets import boxed, called, categories, command_line, coverage, escape, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hx.records.export import ExportReport, Verification


def export(
    exporting: Exporting,
    loading: Loading,
    out: Output,
    model: ModelSpec,
    output: Annotated[Path | None, value("OUT.onnx", "Default: NAME.onnx here.", "--output", "-o")] = None,
    overwrite: Overwrite = False,
    embed: Annotated[
        bool, flag("Write the sidecar into the model's metadata too, under pkg.hx.* keys.", "--embed")
    ] = False,
    no_metadata: Annotated[
        bool, flag("Remove the exporter's metadata: kilobytes a node, with lines of the source.", "--no-metadata")
    ] = False,
    keep_context: Annotated[
        bool, flag("Write what was seen during the export, for debugging.", "--keep-context")
    ] = False,
    weights: Annotated[
        Literal["copy", "in-place"],
        typer.Option(help="copy them, or refer to the safetensors of the folder MODEL, in which the model then is."),
    ] = "copy",
    no_verify: NoVerify = False,
) -> int:
    """Export a model with the graph that torch.onnx.export gives, and say which module made every node."""
    with out.progress() as progress:
        report = hx.export(
            loading.spec(model),
            f=export_path(output, model, beside=weights == "in-place"),
            **exporting.settings(),
            weights=weights,
            verify=not no_verify,
            embed=embed,
            metadata=not no_metadata,
            keep_context=keep_context,
            overwrite=overwrite,
            progress=progress,
        ).report
    show_export(report, out, cross_checked=exporting.cross_check)
    return int(report.verification is not None and report.verification.status == "mismatch")


def show_export(report: ExportReport, output: Output, *, following: bool = True, cross_checked: bool = False) -> None:
    """Print the summary on stdout, and on stderr what is not as it was asked for.

    `following` says which command to try next; `cross_checked` shows the disagreements of sources.
    """
    from hx.records.analyze import CATEGORIES

    least = {category.name: category.threshold for category in CATEGORIES}
    statistics = report.category_statistics.items()
    below = {name: row["percentage"] for name, row in statistics if row["percentage"] < least.get(name, 0.0)}
    if output.as_json:
        output.json(report)
    else:
        output.data(_summary(report))
        if below or output.verbosity > 0:
            rows = ((name, row["total"], _exact(row), row["percentage"], least.get(name)) for name, row in statistics)
            output.data(categories(rows))
        if report.disagreements and (cross_checked or output.verbosity > 0):
            output.data(_disagreements(report))
    for name, covered in below.items():
        output.warn(f"{name}: {percent(covered)} of the nodes covered, below {least[name]:g} %.")
    if report.static_axes:
        axes = plural(len(report.static_axes), "axis", "axes")
        output.warn(f"the model itself fixes {axes}, left static: {', '.join(report.static_axes)}.")
    for note in report.notes:
        output.warn(note)
    check = report.verification
    if check is not None and check.status == "mismatch":
        output.warn(f"the outputs are not those of the PyTorch module: {_mismatch(check)} The files are written.")
    elif check is not None and check.status == "not_checked":
        output.warn(f"the outputs were not compared with PyTorch: {check.reason}.")
    if following and not output.as_json:
        output.note(f"[dim]Next:[/] {command_line('hx', 'tree', report.files[0].path)}")


def _exact(row: Mapping[str, int]) -> float:
    return 100.0 * row["exact"] / row["total"] if row["total"] else 100.0


def _summary(report: ExportReport) -> RenderableType:
    simple = report.class_name.rsplit(".", 1)[-1]
    sources = ", ".join(sorted({row.against for row in report.disagreements}))
    rows = {
        "model": f"[bold]{simple}[/]  {count(report.parameters)} parameters in {plural(report.modules, 'module')}",
        "nodes": coverage(report),
        "disagree": f"[bold]{len(report.disagreements)}[/]  nodes, with {sources}" if sources else None,
        "calls": called(report.calls),
        "inputs": _ports(report.inputs),
        "outputs": _ports(report.outputs),
        "numbers": _numbers(report.verification),
        "files": "\n".join(f"{escape(file.path)}  [dim]{size(file.size_bytes)}[/]" for file in report.files),
        "time": f"[dim]{', '.join(f'{step} {seconds:.1f} s' for step, seconds in report.seconds.items())}[/]",
    }
    return boxed(report.model, rows)


def _ports(ports: Mapping[str, list[int | str]]) -> str:
    lines = [f"{escape(name)} [dim]{shape(dims)}[/]" for name, dims in list(ports.items())[:6]]
    return "\n".join(lines + ([f"[dim]and {len(ports) - 6} more[/]"] if len(ports) > 6 else []))


def _numbers(check: Verification | None) -> str:
    if check is None:
        return "[dim]not compared (--no-verify)[/]"
    if check.status == "match":
        return f"[green]equal to PyTorch's[/] within {number(check.relative_error)} of the largest value"
    if check.status == "not_checked":
        return "[yellow]not compared[/]"
    return f"[bold red]not PyTorch's[/]  {escape(_mismatch(check))}"


def _mismatch(check: Verification) -> str:
    if check.relative_error is None:
        return f"{check.reason}."
    errors = f"{number(check.max_abs_error)}, {number(check.relative_error)} of its largest value"
    return f"{check.reason} by {errors}; at most {number(check.tolerance)} is a match."


def _disagreements(report: ExportReport) -> RenderableType:
    shown = table(["node", "operator", "decided by", "owner", "against", "its owner"])
    for row in report.disagreements:
        shown.add_row(row.output, row.op_type, row.evidence, row.owner, row.against, row.other)
    return shown
