"""Records as small tables: for a terminal, and for notebooks as static HTML that is readable on light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Table:
    """A table of a record, with a title above and a note below. Numbers are right-aligned, with thousands apart."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""

    def to_text(self) -> str:
        """Return it as lines of text."""
        cells = [list(self.columns), *([_shown(value) for value in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        right = [any(map(_is_number, column)) for column in zip(*self.rows, strict=True)] or [False] * len(widths)
        formats = [f"{{:{'>' if numbers else '<'}{width}}}" for width, numbers in zip(widths, right, strict=True)]
        lines = ["  ".join(formats).format(*row).rstrip() for row in cells]
        return "\n".join([self.title, *lines, *([self.note] if self.note else [])])

    def to_html(self) -> str:
        """Return it as HTML without scripts; all texts are escaped."""
        head = "".join(f"<th style='text-align:left'>{escape(column)}</th>" for column in self.columns)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.rows)
        below = f"<div style='opacity:.7'>{escape(self.note)}</div>" if self.note else ""
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"<div><b>{escape(self.title)}</b>{table}{below}</div>"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    if not _is_number(value):
        return "" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _cell(value: object) -> str:
    align = "right" if _is_number(value) else "left"
    return f"<td style='text-align:{align};white-space:pre'>{escape(_shown(value))}</td>"
