"""Records as small tables for notebooks: static, without scripts, readable on light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def html_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, note: str = ""
) -> str:
    """Return a table as HTML. All texts are escaped; numbers are right-aligned, with thousands apart.

    Args:
        title: Above the table.
        columns: Their headings.
        rows: As many cells each.
        note: Below the table; empty for none.
    """
    head = "".join(f"<th style='text-align:left'>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    below = f"<div style='opacity:.7'>{escape(note)}</div>" if note else ""
    return f"<div><b>{escape(title)}</b><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}</div>"


def _cell(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
        return f"<td style='text-align:right'>{text}</td>"
    return f"<td style='text-align:left;white-space:pre'>{escape(str(value))}</td>"
