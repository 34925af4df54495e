"""`hx fleet`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import hx
from hx.text import plural
from hx_cli._options import Overwrite, argument, flag, value
from hx_cli._output import Output
from hx_cli._parse import parse_memory
from hx_cli._widgets import escape, styled, table

if TYPE_CHECKING:
    from hx.records.fleet import FleetReport

ROWS = 20
"""More kinds of failure, and more changes, than these are counted, not listed; the page has them all, and -v lists them."""
STATUSES = ("passed", "wrong", "failed", "skipped")


def fleet(
    out: Output,
    run: Annotated[Path, argument("RUN.toml", "Models and steps.")],
    output: Annotated[
        Path | None, value("DIR", "The run's folder; default: the file's name without .toml, here.", "--output", "-o")
    ] = None,
    workers: Annotated[int | None, value("N", "Models at once; default: one a core.")] = None,
    timeout: Annotated[float | None, value("SECONDS", "Wall time of one model; default: 600.")] = None,
    memory: Annotated[str | None, value("SIZE", "Memory of one model, like 4GiB; default: no limit.")] = None,
    baseline: Annotated[
        Path | None, value("DIR", "An earlier run: tell which modules are other in form, numbers or time.")
    ] = None,
    only: Annotated[Literal["failed"] | None, value("failed", "Run those again of which a step failed.")] = None,
    shard: Annotated[str | None, value("I/N", "Every N-th model from the I-th on, for N machines.")] = None,
    fail_fast: Annotated[bool, flag("Stop at the first model of which a step failed.", "--fail-fast")] = False,
    ray: Annotated[
        str | None,
        value("ADDRESS", "Run on a Ray cluster: auto, local, or HOST:PORT; default: processes of this machine."),
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Take many models through many steps, each in a process of its own, as a run that resumes."""
    limits: dict[str, Any] = {"workers": workers, "timeout_s": timeout}
    limits["memory_bytes"] = None if memory is None else parse_memory(memory)
    asked: dict[str, Any] = {"baseline": baseline, "only": only, "shard": shard, "ray": ray}
    with out.progress() as progress:
        report = hx.fleet(run, output, **limits, **asked, fail_fast=fail_fast, overwrite=overwrite, progress=progress)
    out.report(report, _show)
    return int(not report.good)


def _show(report: FleetReport, output: Output) -> None:
    """Print how many models each step passed, failures by kind, and what is not as in the baseline."""
    counts = table(["step"], STATUSES)
    for step, found in report.statuses.items():
        counts.add_row(*map(styled, (step, *(str(found.get(status) or "") for status in STATUSES))))
    output.data(counts)
    rows = None if output.verbosity > 0 else ROWS
    for failure in report.failures[:rows]:
        more = f" and {len(failure.models) - 1} more" if len(failure.models) > 1 else ""
        kind = f"{failure.kind} {failure.code}".strip()
        output.data(f"[red]{failure.step} {kind}[/] {escape(failure.models[0])}{more}: {escape(failure.cause)}")
        output.data(f"[dim]    log: {escape(failure.log)}[/]")
    for change in report.changes[:rows]:
        where = escape(f"{change.model} {change.module}".rstrip())
        output.data(f"[yellow]{change.what}[/] {where}: {escape(change.before)}, now {escape(change.after)}")
    for what, entries in (("kind of failure", report.failures), ("change", report.changes)):
        if rows is not None and len(entries) > rows:
            many = plural(
                len(entries) - rows, f"more {what}", f"more {what.replace('kind', 'kinds')}{'s' * (what == 'change')}"
            )
            output.data(f"[dim]… and {many}; summary.html has them all.[/]")
    resumed = f", {report.resumed} of them before" if report.resumed else ""
    left = f", [yellow]{report.models - report.finished} left[/]" if report.finished < report.models else ""
    output.data(f"[bold]{plural(report.finished, 'model')}[/] in [bold]{escape(report.output)}[/]{resumed}{left}")
