"""The numbers of another model beside those of one, call by call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hx_sidecar_schema import Sidecar
from hx_viewer._column import Column
from hx_viewer._view import View

NAMED = 3
"""So many calls that have no counterpart are named."""


def rows_by_name(sidecar: Sidecar) -> dict[tuple[str, int], int]:
    """Return the row of each call by the name of its module and its place among that module's calls."""
    return {(sidecar.module_of(call).fqn, call.index): row for row, call in enumerate(sidecar.calls)}


def totals_beside(
    columns: Iterable[Column], theirs: Mapping[tuple[str, int], int], ours: Mapping[tuple[str, int], int]
) -> dict[str, dict[int, float]]:
    """Return the totals of another model's columns by name, each by the row that the call of that name has here."""
    found: dict[str, dict[int, float]] = {}
    for column in columns:
        known = {name: column.total[row] for name, row in theirs.items() if row in column.total}
        found[column.name] = {ours[name]: number for name, number in known.items() if name in ours}
    return found


def notes_beside(view: View, against: View) -> list[str]:
    """Return in sentences what has no counterpart, and what the other model's numbers need to be understood."""
    ours, theirs = rows_by_name(view.sidecar), rows_by_name(against.sidecar)
    this, file, notes = view.sidecar.model.file, against.sidecar.model.file, list[str]()
    this, other = (f"this {this}", f"the other {file}") if this == file else (this, file)
    for side, alone in ((this, ours.keys() - theirs), (other, theirs.keys() - ours)):
        if alone:
            named = ", ".join(
                f"{fqn or 'the model'}{f'@{index}' if index else ''}" for fqn, index in sorted(alone)[:NAMED]
            )
            left = f" and {len(alone) - NAMED} more" if len(alone) > NAMED else ""
            notes.append(f"Calls in {side} alone: {named}{left}.")
    names = {column.name for column in view.columns}
    for column in against.columns:
        if column.name not in names:
            notes.append(f"{column.title} of {other} is not shown: this model has no such record.")
    said = dict.fromkeys(note for column in against.columns for note in column.notes)
    return notes + [note if note.startswith(file) else f"{file}: {note}" for note in said]
