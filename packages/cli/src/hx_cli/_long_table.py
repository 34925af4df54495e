"""A table of any number of rows, each on one line, drawn as `table` draws one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hx_cli._widgets import styled

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment
    from rich.text import Text

_WORD = 12


class LongTable:
    """Columns of texts, which are cut where there is no room, then of numbers.

    rich (15.0) takes half a millisecond a row and more.
    """

    def __init__(self, texts: Mapping[str, str], numbers: Sequence[str]) -> None:
        """Take the headings of the texts, each with the style of its column, and of the numbers."""
        self._texts, self._numbers = texts, numbers
        self._rows: list[tuple[list[Text], Sequence[str]]] = []

    def add_row(self, texts: Sequence[str | Text], numbers: Sequence[str]) -> None:
        """Add a row: a cell for each heading."""
        self._rows.append(([styled(cell) if isinstance(cell, str) else cell for cell in texts], numbers))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Yield what rich prints."""
        from rich.segment import Segment
        from rich.text import Text

        numbers = [max(map(len, column)) for column in zip(self._numbers, *(row[1] for row in self._rows), strict=True)]
        left = options.max_width - sum(numbers) - 3 * len(numbers) - 3 * len(self._texts) + 1
        texts = self._widths(left)
        styles = [console.get_style(style or "none") for style in self._texts.values()]
        whole = sum(texts) + sum(numbers) + 3 * (len(texts) + len(numbers) - 1)
        blank, bold = Segment(f"{'':{whole + 2}}\n"), console.get_style("bold")
        yield blank
        heads = [f"{head:{width}}" for head, width in zip(self._texts, texts, strict=True)]
        heads += [f"{head:>{width}}" for head, width in zip(self._numbers, numbers, strict=True)]
        yield from (Segment(" "), Segment("   ".join(heads), bold), Segment(" \n"))
        yield Segment(f" {('-' if options.ascii_only else '─') * whole} \n")
        for cells, values in self._rows:
            for cell, width, style in zip(cells, texts, styles, strict=True):
                shown = Text().append_text(cell)
                shown.truncate(width, overflow="ellipsis", pad=True)
                yield Segment(" " if cell is cells[0] else "   ")
                yield from Segment.apply_style(shown.render(console), style)
            line = "".join(f"   {value:>{width}}" for value, width in zip(values, numbers, strict=True))
            yield Segment(f"{line} \n")
        yield blank

    def _widths(self, left: int) -> list[int]:
        """Return how wide texts are drawn: as they are, else an equal part of what is left, and never less than a word."""
        from rich.cells import cell_len

        rows = ([cell.cell_len for cell in texts] for texts, _ in self._rows)
        wanted = [max(column) for column in zip(map(cell_len, self._texts), *rows, strict=True)]
        widths = [0] * len(wanted)
        for after, place in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
            widths[place] = min(wanted[place], max(left // (len(wanted) - after), _WORD))
            left -= widths[place]
        return widths
