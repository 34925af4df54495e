"""`hx verify`: its options, and what it shows a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hx
from hx.text import ending, number, plural
from hx_cli._options import InputsFile, InputShape, Loading, argument, value
from hx_cli._output import Output
from hx_cli._parse import parse_memory, parse_shapes, parse_threshold
from hx_cli._paths import find_model
from hx_cli._widgets import add_numbers, by_status, call_name, escape, reasons, styled, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hx.records.verify import Numbers, VerifyEntry, VerifyReport

NARROW = 100
BESIDE_NAME, BESIDE_NAME_NARROW = 60, 30
"""Columns of the table for all but the call's name."""


def verify(
    loading: Loading,
    out: Output,
    model: Annotated[
        Path | None,
        argument(
            "X.onnx",
            "A model that hx exported, or one made of it (--from). May be left out where the current folder holds exactly one export.",
        ),
    ] = None,
    against: Annotated[
        str, value("MODEL", "The PyTorch model, of a part too: a Hub id or folder, factory, or tiny:ARCH.")
    ] = ...,  # pyright: ignore[reportArgumentType] typer's word for required
    original: Annotated[
        Path | None,
        value("EXPORT.onnx", "The export that X.onnx was made of by a quantiser, converter or optimiser.", "--from"),
    ] = None,
    inputs: InputsFile = None,
    input_shape: InputShape = None,
    memory: Annotated[
        str | None, value("SIZE", "Window of memory, weights in their files; both models run as often as that takes.")
    ] = None,
    fail_over: Annotated[
        float | None,
        value("ERROR", "Largest relative error, local and accumulated; default: found from the model, local only."),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Rows of the table.")] = 10,
) -> int:
    """Compare every module call with PyTorch, alone and in the whole model, and name the first that is wrong."""
    if model is None and original is not None:
        hint = "Write it like `hx verify quantised.onnx --from export.onnx --against MODEL`."
        raise hx.HxError("No model is named that was made of the export.", code="HX405", hint=hint)
    with out.progress() as progress:
        report = hx.verify(
            find_model(model),
            loading.spec(against),
            inputs=inputs,
            input_shapes=parse_shapes(input_shape or []),
            original=original,
            memory_bytes=None if memory is None else parse_memory(memory),
            fail_over=parse_threshold(fail_over),
            progress=progress,
        )
    out.report(report, _show, top=top)
    return int(report.failed)


def _show(report: VerifyReport, output: Output, *, top: int) -> None:
    """Print the culprit, the worst calls in a table of `top` rows, and what was not compared."""
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
        lines = [
            f"[bold red]first wrong: {_name(entry)}[/], output {_port(entry.local)}: local {_error(entry.local)}{accumulated}",
            f"  {escape(entry.tag)}",
            f"  on PyTorch's own inputs, and no call inside it is wrong; {_largest(entry.local)}",
        ]
        if unproven := [*entry.inputs_from_onnx, *entry.nodes_of_others]:
            names = ", ".join(unproven[:3]) + (", …" if len(unproven) > 3 else "")
            lines.append(f"  [yellow]it computes with {escape(names)}, which PyTorch did not give[/]")
        return "\n".join(lines)
    if report.refused is not None:
        entry = report.calls[report.refused]
        refused = f"[bold red]ONNX Runtime does not run the whole model, for {_name(entry)}[/]"
        return f"{refused}: {escape(report.refusal)}\n  what runs alone is compared"
    if report.failed:
        entry = max(report.calls, key=lambda entry: _rank(entry.accumulated))
        where = f"{_name(entry)}, output {_port(entry.accumulated)}: accumulated {_error(entry.accumulated)}"
        return f"[bold red]no call is wrong by itself, the errors add up[/]: {where}"
    worst = max((_rank(entry.local) for entry in report.calls if entry.rounding is None), default=0.0)
    return f"[bold green]no call is wrong[/]: the largest local error is {number(max(worst, 0.0))}"


def _table(entries: Sequence[VerifyEntry], report: VerifyReport, width: int) -> RenderableType:
    narrow = width < NARROW
    room = max(width - (BESIDE_NAME_NARROW if narrow else BESIDE_NAME), 12)
    made = table(["call"])
    if not narrow:
        made.add_column("port", overflow="fold", style="cyan", max_width=18)
    made.add_column("local", justify="right", no_wrap=True, min_width=7)
    add_numbers(made, ["accumulated"] if narrow else ["accumulated", "max abs", "SNR dB"])
    for entry in entries:
        assert entry.local is not None
        cells = [
            ending(call_name(entry.fqn, entry.tag, entry.call), room),
            _error(entry.local),
            _error(entry.accumulated),
        ]
        if not narrow:
            snr = "" if entry.local.snr_db is None else f"{entry.local.snr_db:.0f}"
            cells = [cells[0], entry.local.port, *cells[1:], number(entry.local.max_abs_error), snr]
        is_culprit = report.culprit is not None and entry is report.calls[report.culprit]
        made.add_row(*map(styled, cells), style="bold red" if is_culprit else "red" if entry.wrong else "")
    return made


def _others(report: VerifyReport) -> list[str]:
    times = "once" if report.batches == 1 else f"{report.batches} times"
    compared = f"[bold]{plural(report.compared, 'call')}[/] compared, both models ran {times}"
    lines = [f"{compared}; a local error beyond {_limits(report)} is wrong"]
    root = report.calls[0]
    if whole := root.accumulated:
        lines.append(f"the whole model: output {_port(whole)} {_error(whole)}, {_largest(whole)}")
    elif report.refused is None:
        lines.append(f"[yellow]the whole model is not compared[/]: {escape(root.reason)}")
    extractable = [entry for entry in report.calls if entry.status == "extractable"]
    lines += reasons([entry for entry in extractable if entry.local is None], "not compared")
    lines += reasons([entry for entry in report.calls if entry.local and entry.reason], "compared in part")
    explained = [entry for entry in report.calls if entry.rounding is not None and not entry.wrong]
    if explained:
        worst = max(explained, key=lambda entry: entry.rounding or 0.0)
        off = f"PyTorch's own {_name(worst)} is {number(worst.rounding or 0.0)} off double precision"
        lines.append(f"{plural(len(explained), 'call')} beyond it as single precision explains: {off}")
    statuses = Counter(entry.status for entry in report.calls if entry.status != "extractable" and not entry.local)
    if statuses:
        own = "its" if statuses.total() == 1 else "their"
        lines.append(f"[dim]{plural(statuses.total(), 'call')} without numbers of {own} own: {by_status(statuses)}[/]")
    return lines


def _limits(report: VerifyReport) -> str:
    compared = [entry for entry in report.calls if entry.local is not None]
    limits = [entry.limit for entry in compared if entry.rounding is None] or [entry.limit for entry in compared]
    if max(limits) == min(limits):
        return number(limits[0])
    return f"{number(min(limits))} to {number(max(limits))}, by precision,"


def _largest(numbers: Numbers | None) -> str:
    if numbers is None or numbers.max_abs_error is None:
        return escape(numbers.reason) if numbers else ""
    return f"largest error {number(numbers.max_abs_error)}"


def _rank(numbers: Numbers | None) -> float:
    """Order by relative error: infinite before all, not compared behind all."""
    if numbers is None or numbers.relative_error is None:
        return float("inf") if numbers else -1.0
    return numbers.relative_error


def _error(numbers: Numbers | None) -> str:
    if numbers is None or numbers.relative_error is None:
        return "differs" if numbers else "?"
    return number(numbers.relative_error)


def _port(numbers: Numbers | None) -> str:
    return f"[cyan]{escape(numbers.port) if numbers else ''}[/]"


def _name(entry: VerifyEntry) -> str:
    return escape(call_name(entry.fqn, entry.tag, entry.call))
