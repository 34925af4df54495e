"""Pieces that views draw with."""

import io

import pytest
from hypothesis import given, strategies as st
from rich.console import Console
from rich.text import Text

from hx_cli._widgets import add_lines, add_numbers, table

CELL = st.text("ab.é漢", max_size=30)


def drawn(rows, width, add):
    made = table()
    made.add_column("module", no_wrap=True, overflow="ellipsis", max_width=20)
    made.add_column("name", no_wrap=True, overflow="ellipsis", style="dim")
    add_numbers(made, ["nodes"])
    add(made, [(Text(first).append("tail", "bold"), name, number) for first, name, number in rows])
    console = Console(file=io.StringIO(), width=width, color_system="standard", force_terminal=True)
    console.print(made, highlight=False)
    return console.file.getvalue()


def one_by_one(made, rows):
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))


@pytest.mark.parametrize("width", [30, 80])
@given(rows=st.lists(st.tuples(CELL, CELL, st.integers(0, 10**6).map(str)), max_size=5))
def test_rows_that_are_added_at_once_are_drawn_as_those_added_one_by_one(width, rows):
    assert drawn(rows, width, add_lines) == drawn(rows, width, one_by_one)
