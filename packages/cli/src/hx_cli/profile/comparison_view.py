"""Times beside each other: what `hx profile A B` and `hx profile --isolated` show a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hx.text import duration, ending, plural
from hx_cli._output import Output
from hx_cli._widgets import add_numbers, escape, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hx.records.profile import IsolatedCall, IsolatedReport, ModuleChange, ProfileComparison

ROWS = 20


def show_comparison(found: ProfileComparison, output: Output, *, everything: bool) -> None:
    """Print two profiles by module, the largest change first."""
    ratio = f", {found.ratio:.2f} times" if found.ratio is not None else ""
    names = f"[bold]{escape(found.before)}[/] to [bold]{escape(found.after)}[/]"
    output.data(f"{names}\n{duration(found.run_us[0])} to {duration(found.run_us[1])} a run{ratio}")
    for side, lost in zip(("first", "second"), found.unattributed_us, strict=True):
        if lost:
            output.data(f"[yellow]unattributed[/] in the {side}: {duration(lost)} a run")
    changed = [module for module in found.modules if module.self_change_us or module.change_us]
    shown = changed if everything or output.verbosity > 0 else changed[:ROWS]
    output.data(_changes(shown, output.stdout.width), asked=True)
    if len(shown) < len(changed):
        output.data(f"[dim]and {len(changed) - len(shown)} more with smaller changes; --all lists them[/]")


def _changes(modules: Sequence[ModuleChange], width: int) -> RenderableType:
    from rich.text import Text

    made = table()
    wide = width >= 100
    room = max(width - (84 if wide else 33), 12)
    made.add_column("module", no_wrap=True, overflow="ellipsis")
    headers = ("own before", "own after", "own change", "before", "after", "change") if wide else ("own", "total")
    add_numbers(made, (*headers, "times"))
    for module in modules:
        own = [duration(module.self_before_us), duration(module.self_after_us), _signed(module.self_change_us)]
        total = [duration(module.before_us), duration(module.after_us), _signed(module.change_us)]
        cells = [*own, *total] if wide else [own[2], total[2]]
        style = "green" if module.self_change_us < 0 else "red" if module.self_change_us > 0 else ""
        ratio = f"{module.ratio:.2f}" if module.ratio is not None else ""
        name = ending(module.fqn or "(the model itself)", room)
        made.add_row(Text(name), *cells, ratio, style=style)
    return made


def _signed(us: float) -> str:
    return f"{'+' if us > 0 else ''}{duration(us)}" if us else "0"


def show_isolated(report: IsolatedReport, output: Output) -> None:
    """Print calls alone and in the model, and what the difference is made of."""
    for call in report.calls:
        output.data(*_isolated(call), asked=True)


def _isolated(call: IsolatedCall) -> list[str]:
    lines = [f"[bold]{escape(call.tag)}[/]"]
    model = f"  in the model {duration(call.in_model_us)}, {plural(call.in_model_kernels, 'kernel')}"
    if call.alone_us is None:
        return [*lines, model, f"  [yellow]not timed alone[/]: {escape(call.reason)}"]
    alone = f"  alone        {duration(call.alone_us)}, {plural(call.alone_kernels or 0, 'kernel')}"
    lines += [model, f"{alone}, spread {duration(call.alone_spread_us)}"]
    for kernel in call.spanning:
        lines.append(
            f"  fused across its border: {escape(kernel.op_type)} {escape(kernel.name)}, {duration(kernel.median_us)}, "
            f"counts for the module around, with {escape(', '.join(kernel.outside))}"
        )
    for word, operators in (("more alone", call.more_alone), ("fewer alone", call.less_alone)):
        if operators:
            listed = ", ".join(f"{n} {name}" for name, n in operators.items())
            lines.append(f"  {word}: {escape(listed)}")
    if call.copied:
        lines.append(f"  {plural(len(call.copied), 'node')} of other modules computed again when alone")
    if call.wall_warm_us is not None and call.wall_cold_us is not None:
        lines.append(
            f"  cache: a run alone takes {duration(call.wall_warm_us)}, after the caches were overwritten "
            f"{duration(call.wall_cold_us)}"
        )
    return lines
