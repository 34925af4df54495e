"""Records as small tables: for a terminal, and for notebooks as static HTML that is readable on light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from hx_sidecar_schema._visible import visible

HTML_ROWS = 100
"""A table in a notebook has so many rows at most."""
TITLE_LENGTH = 600


@dataclass(frozen=True)
class Table:
    """A table of a record, with a title above and a note below. Numbers are right-aligned, with thousands apart.

    What cannot be seen in a name, or is longer than one reads, is escaped or cut, as `visible` does.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""

    def to_text(self) -> str:
        """Return it as lines of text."""
        cells = [list(self.columns), *([_shown(value) for value in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        formats = [f"{{:{'>' if n else '<'}{width}}}" for width, n in zip(widths, self._numbers(), strict=True)]
        lines = ["  ".join(formats).format(*row).rstrip() for row in cells]
        return "\n".join([visible(self.title, TITLE_LENGTH), *lines, *([self.note] if self.note else [])])

    def to_html(self) -> str:
        """Return it as HTML without scripts; all texts are escaped."""
        sides = ("right" if numbers else "left" for numbers in self._numbers())
        columns = zip(sides, self.columns, strict=True)
        head = "".join(f"<th style='text-align:{side}'>{escape(column)}</th>" for side, column in columns)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.rows[:HTML_ROWS])
        left = len(self.rows) - HTML_ROWS
        notes = [f"and {left} more rows"] if left > 0 else []
        below = "".join(f"<div style='opacity:.7'>{escape(note)}</div>" for note in (*notes, self.note) if note)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"<div><b>{escape(visible(self.title, TITLE_LENGTH))}</b>{table}{below}</div>"

    def _numbers(self) -> list[bool]:
        """Say for each column whether numbers are in it."""
        held = [any(map(_is_number, column)) for column in zip(*self.rows, strict=True)]
        return held or [False] * len(self.columns)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    if not _is_number(value):
        return "" if value is None else visible(str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _cell(value: object) -> str:
    align = "right" if _is_number(value) else "left"
    return f"<td style='text-align:{align};white-space:pre'>{escape(_shown(value))}</td>"
