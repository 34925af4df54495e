"""What `hx profile` shows a person: one profile, two beside each other, and calls alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hx.text import TIMES, duration, ending, percent, plural, size
from hx_cli._output import Output
from hx_cli._widgets import add_numbers, escape, guided, styled, table

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from hx.records.profile import (
        CallTime,
        IsolatedCall,
        IsolatedReport,
        Kernel,
        ModuleChange,
        Profile,
        ProfileComparison,
    )

SMALL = 0.01
"""Calls that take a smaller share than this are drawn as one line for all siblings; those without a kernel are not."""
LARGE = 0.1
"""Calls that take a larger share than this are bold."""
SLOWEST = 5
KERNELS = 10
WIDE = 100
CHANGES = 20


def show_profile(profile: Profile, output: Output, *, depth: int | None, everything: bool) -> None:
    """Print a profile as a tree, with what is slowest and what is unattributed."""
    output.data(_head(profile))
    output.data(_tree(profile, output, depth, 0.0 if everything else SMALL), asked=True)
    spanning = [kernel for kernel in profile.kernels if len(kernel.covers) > 1]
    if spanning:
        fused = f"* with {plural(len(spanning), 'node')} that ONNX Runtime fused over several modules"
        output.data(f"{fused}, {_percent(spanning, profile)} of the time; each counts for the module around them.")
        for kernel in spanning if output.verbosity > 0 else ():
            what = f"{kernel.op_type} {kernel.name}: {_covered(kernel, profile)}"
            output.data(styled(f"  {duration(kernel.median_us)} {what}"))
    if lost := profile.unattributed():
        output.data(f"[yellow]unattributed[/]: {plural(len(lost), 'kernel')}, {_percent(lost, profile)} of the time")
        shown = lost if output.verbosity > 0 else _slowest_kernels(lost)
        for kernel in shown:
            name, reason = escape(f"{kernel.op_type} {kernel.name}"), escape(kernel.reason)
            output.data(f"  {name} {duration(kernel.median_us)} [dim]{reason}[/]")
        if len(shown) < len(lost):
            output.data(f"  [dim]and {len(lost) - len(shown)} more; -v lists them all[/]")
    if not profile.roots:
        output.data("\nSlowest by own time:", _slowest_modules(profile, output.stdout.width))
    for note in profile.notes:
        output.warn(note)
    if output.verbosity > 0:
        output.data("\nSlowest kernels:")
        for kernel in _slowest_kernels(profile.kernels):
            tag = profile.calls[kernel.call].tag if kernel.call is not None else "unattributed"
            name = escape(f"{kernel.op_type} {kernel.name}")
            output.data(f"  {duration(kernel.median_us):>8}  {name}  [dim]{escape(tag)}[/]")


def _head(profile: Profile) -> str:
    settings = profile.settings
    how = [plural(profile.runs, "run")]
    how += [f"optimization {settings.optimization}"] if settings.optimization else []
    how += [name.removesuffix("ExecutionProvider") for name in settings.providers]
    how += [plural(settings.threads, "thread")] if settings.threads else []
    spread = duration(profile.kernels_spread_us)
    peak = profile.calls[0].peak_memory_bytes if profile.calls else None
    memory = f"; peak memory {size(peak)}" if peak else ""
    time = f"{duration(profile.typical_us)} a run in {plural(len(profile.kernels), 'kernel')}"
    what = f"[bold]{escape(profile.model)}[/]: {time}; whole runs spread {spread}{memory}"
    return f"{what}\n[dim]{escape(', '.join(how))}; times are sums of the kernels' medians[/]"


def _covered(kernel: Kernel, profile: Profile) -> str:
    """Return the call that a fused node counts for, and those that it stands for by their names below it."""
    owner = profile.calls[kernel.call].tag if kernel.call is not None else ""
    names = [profile.calls[call].tag.removeprefix(owner).lstrip("/") or "itself" for call in kernel.covers]
    return f"{owner} of {', '.join(names)}"


def _share(us: float, profile: Profile) -> float:
    """Of medians: one run that something disturbed moves the shares of sums."""
    return us / profile.typical_us if profile.typical_us else 0.0


def _percent(kernels: list[Kernel], profile: Profile) -> str:
    return percent(100 * _share(sum(kernel.median_us for kernel in kernels), profile))


def _slowest_kernels(kernels: list[Kernel]) -> list[Kernel]:
    return sorted(kernels, key=lambda kernel: -kernel.median_us)[:KERNELS]


def _tree(profile: Profile, output: Output, depth: int | None, least: float) -> Table:
    """Return the tree with its columns; more of them where there is room."""
    wide = output.stdout.width >= WIDE
    headers = ["time", "share", "own", *(("spread", "kernels") if wide else ())]
    labels: list[Text] = []
    rows: list[list[str]] = []
    for guide, name, calls in _lines(profile, depth, least, ascii_only=output.ascii_only):
        several = len(calls) > 1
        share = sum(_share(call.typical_us, profile) for call in calls)
        bold = not several and share >= LARGE
        labels.append(styled("", "bold" if bold else "").append(guide, "dim").append(name, "dim" if several else ""))
        own = sum(call.self_typical_us for call in calls)
        cells = [duration(sum(call.typical_us for call in calls)), percent(100 * share)]
        cells.append(duration(own) if any(call.own_kernels for call in calls) else "")
        if wide:
            cells += ["" if several else duration(calls[0].spread_us), str(sum(call.kernels for call in calls))]
        rows.append(cells)
    made = table()
    rooms = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    left = output.stdout.width - sum(room + 3 for room in rooms) - 3  # where there is little room, the names are cut
    made.add_column("module", no_wrap=True, overflow="ellipsis", max_width=max(left, 8))
    for header, room in zip(headers, rooms, strict=True):
        made.add_column(header, justify="right", no_wrap=True, min_width=room)
    for label, cells in zip(labels, rows, strict=True):
        made.add_row(label, *cells, style=label.style)
    return made


def _lines(
    profile: Profile, depth: int | None, least: float, *, ascii_only: bool
) -> Iterator[tuple[str, str, list[CallTime]]]:
    """Yield guides and names with calls, or with all siblings whose share is less than `least` together."""
    *guides, more = ("|-", "`-", "| ", "  ", "...") if ascii_only else ("├ ", "└ ", "│ ", "  ", "…")
    calls = profile.calls
    children: dict[int | None, list[int]] = defaultdict(list)
    for position, call in enumerate(calls):
        children[call.parent].append(position)

    def below(line: tuple[list[CallTime], int | None, int]) -> list[tuple[list[CallTime], int | None, int]]:
        _, position, level = line
        if position is None or level == depth:
            return []
        shown = [one for one in children[position] if not least or calls[one].kernels]
        large = {one for one in shown if _share(calls[one].typical_us, profile) >= least}
        if len(shown) - len(large) == 1:
            large = {*shown}
        small = [calls[one] for one in shown if one not in large]
        lines = [([calls[one]], one, level + 1) for one in shown if one in large]
        return [*lines, (small, None, level + 1)] if small else [*lines]

    for guide, (held, position, level) in guided(
        [([calls[root]], root, 0) for root in profile.roots or [0]], below, guides
    ):
        name = f"{more} {len(held)} others" if position is None else _starred(held[0], 1 if level else 2)
        yield guide, name, held


def _starred(call: CallTime, segments: int) -> str:
    """Return the end of a call's tag, with a star where nodes count for it that were fused over several modules."""
    name = "/".join(call.tag.split("/")[-segments:]).lstrip("/")
    return f"{name}*" if call.spanning_us else name


def _slowest_modules(profile: Profile, width: int) -> Table:
    from rich.table import Table

    from hx.records.profile import slowest

    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True, overflow="fold")
    for module in slowest(profile)[:SLOWEST]:
        if module.self_us > 0:
            times = f" {TIMES}{module.calls}" if module.calls > 1 else ""
            name = ending((module.fqn or "(the model itself)") + times, max(width - 24, 12))
            share = percent(100 * _share(module.self_us, profile))
            grid.add_row(f"  {duration(module.self_us)}", share, styled(name))
    return grid


def show_comparison(found: ProfileComparison, output: Output, *, everything: bool) -> None:
    """Print two profiles by module, the largest change first."""
    ratio = f", {found.ratio:.2f} times" if found.ratio is not None else ""
    names = f"[bold]{escape(found.before)}[/] to [bold]{escape(found.after)}[/]"
    output.data(f"{names}\n{duration(found.run_us[0])} to {duration(found.run_us[1])} a run{ratio}")
    for side, lost in zip(("first", "second"), found.unattributed_us, strict=True):
        if lost:
            output.data(f"[yellow]unattributed[/] in the {side}: {duration(lost)} a run")
    changed = [module for module in found.modules if module.self_change_us or module.change_us]
    shown = changed if everything or output.verbosity > 0 else changed[:CHANGES]
    output.data(_changes(shown, output.stdout.width), asked=True)
    if len(shown) < len(changed):
        output.data(f"[dim]and {len(changed) - len(shown)} more with smaller changes; --all lists them[/]")


def _changes(modules: Sequence[ModuleChange], width: int) -> Table:
    made = table()
    wide = width >= WIDE
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
        made.add_row(styled(name), *cells, ratio, style=style)
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
        fused = f"{escape(kernel.op_type)} {escape(kernel.name)}, {duration(kernel.median_us)}"
        around = f"counts for the module around, with {escape(', '.join(kernel.outside))}"
        lines.append(f"  fused across its border: {fused}, {around}")
    for word, operators in (("more alone", call.more_alone), ("fewer alone", call.less_alone)):
        if operators:
            listed = ", ".join(f"{n} {name}" for name, n in operators.items())
            lines.append(f"  {word}: {escape(listed)}")
    if call.copied:
        lines.append(f"  {plural(len(call.copied), 'node')} of other modules computed again when alone")
    if call.wall_warm_us is not None and call.wall_cold_us is not None:
        cold = f"after the caches were overwritten {duration(call.wall_cold_us)}"
        lines.append(f"  cache: a run alone takes {duration(call.wall_warm_us)}, {cold}")
    return lines
