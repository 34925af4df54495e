"""Pieces that views draw with."""

import io

import pytest
from hypothesis import given, strategies as st
from rich.console import Console
from rich.text import Text

from hx_cli._widgets import add_lines, add_numbers, escape, styled, table

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


@given(name=st.text(st.characters(max_codepoint=0x180), max_size=8) | st.just("\x1b[31mred\x9b0m"))
def test_nothing_in_a_name_acts_on_the_terminal(name):
    console = Console(file=io.StringIO(), width=80, color_system=None)
    rows = table()
    rows.add_column("name")
    add_lines(rows, [(name,)])
    for shown in (escape(name), styled(name), rows):
        console.print(shown, highlight=False)
    assert not {c for c in console.file.getvalue() if ord(c) < 32 or 127 <= ord(c) < 160} - {"\n", "\t"}
