"""What `hx profile` shows a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hx.text import TIMES, duration, ending, percent, plural, size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from hx.records.profile import CallTime, Kernel, Profile
    from hx_cli._output import Output

SMALL = 0.01
"""Calls that take a smaller share than this are drawn as one line for all siblings; those without a kernel are not."""
LARGE = 0.1
"""Calls that take a larger share than this are bold."""
SLOWEST = 5
KERNELS = 10
WIDE = 100


def show_profile(profile: Profile, output: Output, *, depth: int | None, everything: bool) -> None:
    """Print a profile as a tree, with what is slowest and what is unattributed."""
    from rich.markup import escape
    from rich.text import Text

    output.data(_head(profile))
    tree = _Tree(profile, depth, everything, ascii_only=not output.stdout.encoding.lower().startswith("utf"))
    output.data(tree.table(profile.roots or [0], output.stdout.width), asked=True)
    spanning = [kernel for kernel in profile.kernels if len(kernel.covers) > 1]
    if spanning:
        time = sum(kernel.median_us for kernel in spanning)
        output.data(
            f"* with {plural(len(spanning), 'node')} that ONNX Runtime fused over several modules, "
            f"{_share(time, profile)} of the time; each counts for the module around them."
        )
        if output.verbosity > 0:
            for kernel in spanning:
                output.data(
                    Text(f"  {duration(kernel.median_us)} {kernel.op_type} {kernel.name}: {_covered(kernel, profile)}")
                )
    _show_unattributed(profile, output)
    if not profile.roots:
        output.data("\nSlowest by own time:", _slowest(profile, output.stdout.width))
    for note in profile.notes:
        output.warn(note)
    if output.verbosity > 0:
        output.data("\nSlowest kernels:")
        for kernel in sorted(profile.kernels, key=lambda k: -k.median_us)[:KERNELS]:
            tag = profile.calls[kernel.call].tag if kernel.call is not None else "unattributed"
            output.data(
                f"  {duration(kernel.median_us):>8}  {escape(kernel.op_type)} {escape(kernel.name)}  [dim]{escape(tag)}[/]"
            )


def _head(profile: Profile) -> str:
    from rich.markup import escape

    settings = profile.settings
    how = [plural(profile.runs, "run")]
    how += [f"optimization {settings.optimization}"] if settings.optimization else []
    how += [name.removesuffix("ExecutionProvider") for name in settings.providers]
    how += [plural(settings.threads, "thread")] if settings.threads else []
    spread = duration(profile.kernels_spread_us)
    peak = profile.calls[0].peak_memory_bytes if profile.calls else None
    memory = f"; peak memory {size(peak)}" if peak else ""
    return (
        f"[bold]{escape(profile.model)}[/]: {duration(profile.typical_us)} a run in "
        f"{plural(len(profile.kernels), 'kernel')}; whole runs spread {spread}{memory}\n[dim]{escape(', '.join(how))}; "
        "times are sums of the kernels' medians[/]"
    )


def _covered(kernel: Kernel, profile: Profile) -> str:
    """Return the call that a fused node counts for, and those that it stands for by their names below it."""
    owner = profile.calls[kernel.call].tag if kernel.call is not None else ""
    names = [profile.calls[call].tag.removeprefix(owner).lstrip("/") or "itself" for call in kernel.covers]
    return f"{owner} of {', '.join(names)}"


def _share(us: float, profile: Profile) -> str:
    return percent(100 * us / profile.typical_us) if profile.typical_us else ""


def _show_unattributed(profile: Profile, output: Output) -> None:
    from rich.markup import escape

    lost = profile.unattributed()
    if not lost:
        return
    output.data(
        f"[yellow]unattributed[/]: {plural(len(lost), 'kernel')}, {_share(sum(kernel.median_us for kernel in lost), profile)} of the time"
    )
    shown = lost if output.verbosity > 0 else sorted(lost, key=lambda k: -k.median_us)[:KERNELS]
    for kernel in shown:
        name, reason = escape(f"{kernel.op_type} {kernel.name}"), escape(kernel.reason)
        output.data(f"  {name} {duration(kernel.median_us)} [dim]{reason}[/]")
    if len(shown) < len(lost):
        output.data(f"  [dim]and {len(lost) - len(shown)} more; -v lists them all[/]")


class _Tree:
    """The lines of one profile's tree."""

    def __init__(self, profile: Profile, depth: int | None, everything: bool, *, ascii_only: bool) -> None:
        self._profile = profile
        self._depth = depth
        self._small = 0.0 if everything else SMALL
        self._guides = ("|-", "`-", "| ", "  ") if ascii_only else ("├ ", "└ ", "│ ", "  ")
        self._more = "..." if ascii_only else "…"
        self._children: dict[int, list[int]] = {}
        for position, call in enumerate(profile.calls):
            if call.parent is not None:
                self._children.setdefault(call.parent, []).append(position)

    def table(self, roots: Sequence[int], width: int) -> Table:
        """Return the tree with its columns; more of them where there is room."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        wide = width >= WIDE
        headers = ["time", "share", "own", *(("spread", "kernels") if wide else ())]
        rows = [
            (guide, label, shown, self._cells(shown, wide=wide))
            for guide, shown, label in self._lines(roots, "", top=True)
        ]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        rooms = [max(map(len, column)) for column in zip(headers, *(cells for *_, cells in rows), strict=True)]
        left = width - sum(room + 3 for room in rooms) - 3  # where there is little room, the names are cut
        table.add_column("module", no_wrap=True, overflow="ellipsis", max_width=max(left, 8))
        for header, room in zip(headers, rooms, strict=True):
            table.add_column(header, justify="right", no_wrap=True, min_width=room)
        for guide, label, shown, cells in rows:
            several = len(shown) > 1
            name = Text.assemble((guide, "dim"), (label, "dim" if several else ""))
            large = not several and self._share(shown[0]) >= LARGE
            table.add_row(name, *cells, style="bold" if large else "")
        return table

    def _cells(self, calls: Sequence[CallTime], *, wide: bool) -> list[str]:
        cells = [
            duration(sum(call.typical_us for call in calls)),
            percent(100 * sum(map(self._share, calls))),
            _own(calls),
        ]
        if wide:
            cells += [duration(calls[0].spread_us) if len(calls) == 1 else "", str(sum(call.kernels for call in calls))]
        return cells

    def _lines(
        self, siblings: Sequence[int], indent: str, *, top: bool = False, level: int = 0
    ) -> Iterator[tuple[str, list[CallTime], str]]:
        """Yield guides with calls, or with all small siblings together."""
        calls = self._profile.calls
        shown = [one for one in siblings if top or not self._small or calls[one].kernels]
        large = [one for one in shown if top or self._share(calls[one]) >= self._small]
        small = [calls[one] for one in shown if one not in large]
        if len(small) == 1:
            large, small = shown, []
        tee, corner, bar, gap = self._guides
        for number, position in enumerate(large):
            last = number == len(large) - 1 and not small
            guide, deeper = ("", "") if top else (corner if last else tee, gap if last else bar)
            yield indent + guide, [calls[position]], self._label(position, top=top)
            if self._depth is None or level < self._depth:
                yield from self._lines(self._children.get(position, []), indent + deeper, level=level + 1)
        if small:
            yield indent + corner, small, f"{self._more} {len(small)} others"

    def _share(self, call: CallTime) -> float:
        """Of medians: one run that something disturbed moves the shares of sums."""
        return call.typical_us / self._profile.typical_us if self._profile.typical_us else 0.0

    def _label(self, position: int, *, top: bool) -> str:
        call = self._profile.calls[position]
        parts = call.tag.split("/")
        name = "/".join(parts[-2:]).lstrip("/") if top else parts[-1]
        return f"{name}*" if call.spanning_us else name


def _own(calls: Sequence[CallTime]) -> str:
    own = sum(call.self_typical_us for call in calls)
    return duration(own) if any(call.own_kernels for call in calls) else ""


def _slowest(profile: Profile, width: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    from hx.records.profile import slowest

    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="fold")
    shown = [module for module in slowest(profile)[:SLOWEST] if module.self_us > 0]
    for module in shown:
        share = 100 * module.self_us / profile.typical_us if profile.typical_us else 0.0
        times = f" {TIMES}{module.calls}" if module.calls > 1 else ""
        name = ending((module.fqn or "(the model itself)") + times, max(width - 24, 12))
        table.add_row(f"  {duration(module.self_us)}", percent(share), Text(name))
    return table
