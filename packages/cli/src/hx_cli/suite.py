"""`hx suite`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import hx
from hx.text import count, plural
from hx_cli._options import Overwrite, argument, flag, value
from hx_cli._output import Output
from hx_cli._paths import find_model
from hx_cli._widgets import escape, styled, table

if TYPE_CHECKING:
    from hx.records.suite import SuiteReport

ROWS = 40
"""More cases than these are counted, not listed; `manifest.json` has them all, and -v lists them."""


def suite(
    out: Output,
    models: Annotated[
        list[Path] | None, argument("X.onnx...", "Models that hx exported; default: the only one here.")
    ] = None,
    output: Annotated[
        Path | None, value("DIR", "The folder; default: X_suite here, or suite for several models.", "--output", "-o")
    ] = None,
    by: Annotated[
        Literal["call", "block", "operator"],
        typer.Option(help="What a case is made of: every call, entries of lists of modules, or every node."),
    ] = "call",
    cover: Annotated[
        bool, flag("Only as many cases as hold every operator with its attributes and element types.", "--cover")
    ] = False,
    npz: Annotated[bool, flag("Write inputs.npz and outputs.npz beside each model too.", "--npz")] = False,
    overwrite: Overwrite = False,
) -> int:
    """Write every distinct module of some models once, as test cases for compilers and runtimes."""
    with out.progress() as progress:
        report = hx.suite(
            models or [find_model(None)], output, by=by, cover=cover, npz=npz, overwrite=overwrite, progress=progress
        )
    out.report(report, _show)
    for model in report.suite.models:
        if model.reason:
            out.warn(f"{model.name}: {model.reason}")
    for form in report.suite.left_out[:10]:
        out.warn(f"no case of {form.class_name} ({', '.join(form.examples)}): {form.reason}")
    if len(report.suite.left_out) > 10:
        out.warn(f"and {plural(len(report.suite.left_out) - 10, 'more form')} without a case; see the manifest.")
    return int(any(model.reason for model in report.suite.models))


def _show(report: SuiteReport, output: Output) -> None:
    """Print what the suite holds."""
    found = report.suite
    unit = "node" if found.by == "operator" else "call"
    cases = sorted(found.cases, key=lambda case: (-(case.macs_percent or 0), -case.calls))
    listed = cases if output.verbosity > 0 else cases[:ROWS]
    made = table(["case"], [f"{unit}s", "models", "nodes", "MACs", "of all"])
    for case in listed:
        macs = "" if case.macs is None else count(case.macs)
        share = "" if case.macs_percent is None else f"{case.macs_percent:.1f} %"
        cells = (case.name, str(case.calls), str(len(case.models)), str(case.nodes), macs, share)
        made.add_row(*map(styled, cells))
    output.data(made)
    if len(listed) < len(cases):
        output.data(f"[dim]… and {len(cases) - len(listed)} more; -v lists them all.[/]")
    calls, models = sum(model.calls for model in found.models), [model for model in found.models if not model.reason]
    of = f"of {plural(calls, unit)} in {plural(len(models), 'model')}"
    lines = [f"[bold]{plural(len(cases), 'case')}[/] {of}, in [bold]{escape(report.output)}[/]"]
    changes = f"{plural(report.written, 'file')} written, the others are as they were"
    lines.append(f"[dim]{changes}{f', {len(report.removed)} removed' if report.removed else ''}[/]")
    if report.changed:
        lines.append(f"[yellow]not removed, somebody changed them[/]: {escape(', '.join(report.changed))}")
    if found.not_covered:
        names = Counter(text.partition("(")[0] for text in found.not_covered)
        first = ", ".join(name if number == 1 else f"{number} {name}" for name, number in names.items())
        lines.append(f"[dim]in no case, {plural(len(found.not_covered), 'operator')}: {escape(first)}[/]")
    output.data("\n".join(lines))
