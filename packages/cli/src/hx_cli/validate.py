"""`hx validate`: its options, and what it shows a person."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import hx
from hx.text import plural
from hx_cli._options import OnnxFile, flag, value
from hx_cli._output import Output
from hx_cli._paths import find_model
from hx_cli._widgets import escape, styled

if TYPE_CHECKING:
    from hx.records.validate import Change, Finding, ValidateReport

FIRST = 5
"""Rows of one code that are shown without -v."""


def validate(
    out: Output,
    model: OnnxFile = None,
    sidecar: Annotated[
        Path | None,
        value("FILE.json", "Default: X_hierarchy.json beside it, else the one inside the model's metadata."),
    ] = None,
    repair: Annotated[
        bool,
        flag("Rewrite what the model and the sound rows give: consumers, tags, numbers. Then check again.", "--repair"),
    ] = False,
) -> int:
    """Check that a model is valid, that its sidecar belongs to it, and that every row of the sidecar is consistent."""
    with out.progress() as progress:
        report = hx.validate(find_model(model), sidecar, repair=repair, progress=progress)
    out.report(report, _show)
    return int(not report.valid)


def _show(report: ValidateReport, output: Output) -> None:
    """Print what was rewritten, what is wrong by code, what could not be checked, and what to do."""
    if report.repaired:
        output.data(f"[bold]Rewritten in {escape(report.written or '')}[/]")
        for code, changes in groupby(report.repaired, key=lambda row: row.code):
            rows = list(changes)
            output.data(f"  {code} {plural(len(rows), 'change')}")
            _rows(rows, output)
        output.data("")
    for code, reason in report.refused.items():
        output.data(f"[yellow]{code} is left as it is[/]: {escape(reason)}")
    for code, findings in groupby(report.findings, key=lambda row: row.code):
        rows = list(findings)
        count = f" [dim]({len(rows)})[/]" if len(rows) > 1 else ""
        output.data(f"[red]{code}[/] [bold]{escape(rows[0].meaning)}[/]{count}")
        _rows(rows, output)
        output.data(f"  [dim]{escape(_remedy(rows[0]))}[/]")
    for name, reason in report.skipped.items():
        output.data(f"[yellow]Not checked[/]: {escape(name)}. [dim]{escape(reason)}[/]")
    size = ", ".join((plural(report.nodes, "node"), plural(report.calls, "call"), plural(report.modules, "module")))
    verdict = "[green]Valid[/]" if report.valid else f"[red]{plural(len(report.findings), 'finding')}[/]"
    output.data(f"{verdict}: {escape(report.model)}, {size}.")


COMMANDS = {"V03": "hx relink", "V05": "hx export --embed", "V42": "hx export --strategy auto"}
"""What the remedies of codes that cannot be repaired are on the command line."""


def _remedy(finding: Finding) -> str:
    command = "hx validate --repair" if finding.repairable else COMMANDS.get(finding.code)
    return finding.remedy if command is None else f"{finding.remedy.rstrip('.')}: `{command}`."


def _rows(rows: Sequence[Finding] | Sequence[Change], output: Output) -> None:
    """Print a row a line in a pipe; on a terminal wrapped and indented."""
    from rich.padding import Padding

    shown = rows if output.verbosity > 0 else rows[:FIRST]
    for row in shown:
        text = styled(f"{row.subject}  ", "cyan").append(row.message, "default")
        if output.stdout.is_terminal or output.verbosity < 0:
            output.data(Padding(text, (0, 0, 0, 4), expand=False))
        else:
            output.stdout.print(styled("    ").append(text), highlight=False, soft_wrap=True)
    if len(shown) < len(rows):
        output.data(f"    [dim]and {len(rows) - len(shown)} more; -v lists them all[/]")
