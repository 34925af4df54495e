"""`hx tap`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import plural, shape, size
from hx_cli._options import ModulePattern, OnnxFile, Overwrite, value
from hx_cli._output import Output
from hx_cli._paths import find_model
from hx_cli._widgets import escape, styled, table

if TYPE_CHECKING:
    from hx.records.tap import TapReport

ROWS = 40
"""More new outputs than these are counted, not listed; -v lists them."""


def tap(
    out: Output,
    model: OnnxFile = None,
    module: ModulePattern = None,
    output: Annotated[
        Path | None, value("OUT.onnx", "The new file; default: X_tapped.onnx here.", "--output", "-o")
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Make results of module calls outputs of the model, for debugging or distillation."""
    if not module:
        hint = "Add --module PATTERN; `hx tree` shows the modules."
        raise hx.HxError("No module is named to hand out.", code="HX405", hint=hint)
    with out.progress() as progress:
        report = hx.tap(find_model(model), module, output, overwrite=overwrite, progress=progress)
    out.report(report, _show)
    for entry in report.left_out[:10]:
        out.warn(f"{entry.tag}: {entry.reason}")
    if len(report.left_out) > 10:
        out.warn(f"and {plural(len(report.left_out) - 10, 'more output')} left out; --json has them all.")
    return 0


def _show(report: TapReport, output: Output) -> None:
    """Print what is handed out."""
    listed = report.outputs if output.verbosity > 0 else report.outputs[:ROWS]
    made = table(["output", "value", "type"])
    for entry in listed:
        made.add_row(*map(styled, (entry.name, entry.value, f"{shape(entry.shape)} {entry.dtype.lower()}")))
    output.data(made)
    if len(listed) < len(report.outputs):
        output.data(f"[dim]… and {len(report.outputs) - len(listed)} more; -v lists them all.[/]")
    held = f"[bold]{plural(len(report.outputs), 'more output')}[/] in [bold]{escape(report.file.path)}[/]"
    output.data(f"{held}  [dim]{size(report.file.size_bytes)}[/]")
