"""What `hx verify` shows a person."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hx.records.verify import Numbers, VerifyEntry, VerifyReport
from hx.text import number, plural

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hx_cli._output import Output

NARROW = 100
BESIDE_NAME, BESIDE_NAME_NARROW = 60, 30
"""Columns of the table for all but the call's name."""
REASONS = 5
"""More different reasons than these are left to `--json`."""


def show_verify(report: VerifyReport, output: Output, *, top: int) -> None:
    """Print the culprit, the worst calls, and what was not compared.

    Args:
        report: What was found.
        output: Where to.
        top: Rows of the table.
    """
    output.data(_verdict(report), asked=True)
    compared = [entry for entry in report.calls if entry.local is not None]
    ranked = sorted(compared, key=lambda entry: _rank(entry.local), reverse=True)
    if ranked:
        output.data(_table(ranked[:top], report, output.stdout.width))
    if len(ranked) > top:
        output.data(f"[dim]… and {len(ranked) - top} with smaller local errors; --top {len(ranked)} lists them.[/]")
    output.data("\n".join(_others(report)))


def _verdict(report: VerifyReport) -> str:
    if report.culprit is not None:
        entry = report.calls[report.culprit]
        accumulated = f", accumulated {_error(entry.accumulated)}" if entry.accumulated else ""
        port = _shown(entry.local.port) if entry.local else ""
        lines = [
            f"[bold red]first wrong: {_shown(_name(entry))}[/], output [cyan]{port}[/]: "
            f"local {_error(entry.local)}{accumulated}",
            f"  {_shown(entry.tag)}",
            f"  on PyTorch's own inputs, and no call inside it is wrong; {_largest(entry.local)}",
        ]
        if unproven := [*entry.inputs_from_onnx, *entry.nodes_of_others]:
            names = ", ".join(unproven[:3]) + (", …" if len(unproven) > 3 else "")
            lines.append(f"  [yellow]it computes with {_shown(names)}, which PyTorch did not give[/]")
        return "\n".join(lines)
    if report.failed:
        entry = max(report.calls, key=lambda entry: _rank(entry.accumulated))
        port = _shown(entry.accumulated.port) if entry.accumulated else ""
        return (
            f"[bold red]no call is wrong by itself, the errors add up[/]: {_shown(_name(entry))}, output "
            f"[cyan]{port}[/]: accumulated {_error(entry.accumulated)}"
        )
    worst = max((_rank(entry.local) for entry in report.calls), default=0.0)
    return f"[bold green]no call is wrong[/]: the largest local error is {number(max(worst, 0.0))}"


def _table(entries: list[VerifyEntry], report: VerifyReport, width: int) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    narrow = width < NARROW
    room = max(width - (BESIDE_NAME_NARROW if narrow else BESIDE_NAME), 12)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("call", overflow="fold")
    if not narrow:
        table.add_column("port", overflow="fold", style="cyan", max_width=18)
    table.add_column("local", justify="right", no_wrap=True, min_width=7)
    table.add_column("accumulated", justify="right", no_wrap=True, min_width=11)
    if not narrow:
        table.add_column("max abs", justify="right", no_wrap=True, min_width=7)
        table.add_column("SNR dB", justify="right", no_wrap=True, min_width=6)
    for entry in entries:
        assert entry.local is not None
        name = _name(entry)
        if len(name) > room:  # the end of a name says more than its start
            name = f"…{name[1 - room :]}"
        cells = [Text(name), Text(_error(entry.local)), Text(_error(entry.accumulated))]
        if not narrow:
            cells.insert(1, Text(entry.local.port))
            snr = entry.local.snr_db
            cells += [Text(number(entry.local.max_abs_error)), Text("" if snr is None else f"{snr:.0f}")]
        is_culprit = report.culprit is not None and entry is report.calls[report.culprit]
        table.add_row(*cells, style="bold red" if is_culprit else "red" if entry.wrong else "")
    return table


def _others(report: VerifyReport) -> list[str]:
    times = "once" if report.batches == 1 else f"{report.batches} times"
    lines = [
        f"[bold]{plural(report.compared, 'call')}[/] compared, both models ran {times}; a local error beyond "
        f"{_limits(report)} is wrong"
    ]
    whole = next((entry.accumulated for entry in report.calls if entry.parent is None), None)
    if whole is not None:
        lines.append(f"the whole model: output [cyan]{_shown(whole.port)}[/] {_error(whole)}, {_largest(whole)}")
    extractable = [entry for entry in report.calls if entry.status == "extractable"]
    missing = [entry for entry in extractable if entry.local is None]
    lines += _reasons(missing, "not compared")
    lines += _reasons([entry for entry in extractable if entry.local and entry.reason], "compared in part")
    statuses = Counter(entry.status for entry in report.calls if entry.status != "extractable")
    if statuses:
        what = ", ".join(f"{amount} {status.replace('_', ' ')}" for status, amount in statuses.most_common())
        lines.append(f"[dim]{plural(sum(statuses.values()), 'call')} without numbers of their own: {what}[/]")
    return lines


def _limits(report: VerifyReport) -> str:
    limits = [entry.limit for entry in report.calls if entry.local is not None]
    if max(limits) == min(limits):
        return number(limits[0])
    return f"{number(min(limits))} to {number(max(limits))}, by precision,"


def _reasons(entries: list[VerifyEntry], what: str) -> list[str]:
    if not entries:
        return []
    lines = [f"[yellow]{plural(len(entries), 'call')} {what}[/]:"]
    counts = Counter(entry.reason for entry in entries)
    for reason, amount in counts.most_common(REASONS):
        example = next(entry for entry in entries if entry.reason == reason)
        more = f" and {amount - 1} more" if amount > 1 else ""
        lines.append(f"  {_shown(_name(example))}{more}: {_shown(reason)}")
    if len(counts) > REASONS:
        lines.append("  … and other reasons; --json has them all")
    return lines


def _largest(numbers: Numbers | None) -> str:
    if numbers is None:
        return ""
    if numbers.max_abs_error is None:
        return _shown(numbers.reason)
    return f"largest error {number(numbers.max_abs_error)}"


def _rank(numbers: Numbers | None) -> float:
    """Order by relative error: infinite before all, not compared behind all."""
    if numbers is None:
        return -1.0
    return float("inf") if numbers.relative_error is None else numbers.relative_error


def _error(numbers: Numbers | None) -> str:
    if numbers is None:
        return "?"
    return "differs" if numbers.relative_error is None else number(numbers.relative_error)


def _name(entry: VerifyEntry) -> str:
    name = entry.fqn or entry.tag.lstrip("/")
    return f"{name}@{entry.call}" if entry.call else name


def _shown(text: str) -> str:
    from rich.markup import escape

    return escape(text)
