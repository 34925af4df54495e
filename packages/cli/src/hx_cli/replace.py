"""`hx replace`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import number, plural, size
from hx_cli._options import InputsFile, InputShape, ModulePattern, NoVerify, OnnxFile, Overwrite, value
from hx_cli._output import Output
from hx_cli._parse import parse_shapes
from hx_cli._paths import find_model
from hx_cli._widgets import call_name, escape, styled, table

if TYPE_CHECKING:
    from hx.records.replace import ReplaceReport

ROWS = 40
"""More calls than these are counted, not listed; -v lists them."""


def replace(
    out: Output,
    model: OnnxFile = None,
    module: ModulePattern = None,
    part: Annotated[Path | None, value("PART.onnx", "The model that stands in their place.", "--with")] = None,
    output: Annotated[
        Path | None, value("OUT.onnx", "The new file; default: X_replaced.onnx here.", "--output", "-o")
    ] = None,
    inputs: InputsFile = None,
    input_shape: InputShape = None,
    overwrite: Overwrite = False,
    no_verify: NoVerify = False,
) -> int:
    """Put another model in the place of module calls: optimised, quantised, fused or written by hand."""
    if not module or part is None:
        hint = "Add --module PATTERN and --with PART.onnx; `hx extract` writes a part to begin with."
        raise hx.HxError("What to replace, or with what, is not named.", code="HX405", hint=hint)
    with out.progress() as progress:
        report = hx.replace(
            find_model(model),
            module,
            part,
            output,
            inputs=inputs,
            input_shapes=parse_shapes(input_shape or []),
            verify=not no_verify,
            overwrite=overwrite,
            progress=progress,
        )
    out.report(report, _show)
    if report.reason:
        out.warn(f"The outputs were not compared: {report.reason}")
    return 0


def _show(report: ReplaceReport, output: Output) -> None:
    """Print what became of the calls, and how far the outputs are apart."""
    listed = report.calls if output.verbosity > 0 else report.calls[:ROWS]
    made = table(["call"])
    for name in ("new nodes", "gone", "new weights", "gone"):
        made.add_column(name, justify="right", no_wrap=True)
    for entry in listed:
        counts = entry.added, entry.removed, len(entry.weights_added), len(entry.weights_removed)
        made.add_row(*map(styled, (call_name(entry.fqn, entry.tag, entry.call), *map(str, counts))))
    output.data(made)
    if len(listed) < len(report.calls):
        output.data(f"[dim]… and {len(report.calls) - len(listed)} more; -v lists them all.[/]")
    stands = f"{escape(report.part)} stands for {plural(len(report.calls), 'call')}"
    output.data(f"{stands} in [bold]{escape(report.file.path)}[/]  [dim]{size(report.file.size_bytes)}[/]")
    if report.compared:
        apart = number(report.relative_error) or "NaN, infinity or another shape"
        output.data(f"outputs apart by {apart} of the largest value")
