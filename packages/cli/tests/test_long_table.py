"""A table of many rows looks as rich draws it, and keeps its numbers where there is no room."""

import io

import pytest
from hypothesis import given, strategies as st
from rich.console import Console
from rich.text import Text

from hx_cli._long_table import LongTable
from hx_cli._widgets import add_numbers, table

CELL = st.text("ab.é漢", max_size=30)
ROWS = st.lists(st.tuples(CELL, CELL, st.integers(0, 10**6).map(str)), max_size=5)


def by_rich(rows):
    made = table()
    made.add_column("module", no_wrap=True, overflow="ellipsis")
    made.add_column("name", no_wrap=True, overflow="ellipsis", style="dim")
    add_numbers(made, ["nodes"])
    for first, name, number in rows:
        made.add_row(Text(first).append("tail", "bold"), Text(name), number)
    return made


def by_hand(rows):
    made = LongTable({"module": "", "name": "dim"}, ["nodes"])
    for first, name, number in rows:
        made.add_row([Text(first).append("tail", "bold"), name], [number])
    return made


def drawn(made, width):
    """Return the text, and how each letter in it is drawn."""
    console = Console(file=io.StringIO(), width=width)
    console.print(made, highlight=False)
    segments = [segment for segment in console.render(made) if not segment.control]
    looks = [
        (letter, bool(segment.style and segment.style.bold), bool(segment.style and segment.style.dim))
        for segment in segments
        for letter in segment.text.replace(" ", "").replace("\n", "")
    ]
    return console.file.getvalue(), looks


@given(rows=ROWS)
def test_where_there_is_room_it_is_what_rich_draws(rows):
    assert drawn(by_hand(rows), 160) == drawn(by_rich(rows), 160)


@pytest.mark.parametrize("width", [44, 60])
@given(rows=ROWS)
def test_texts_are_cut_and_numbers_are_not(width, rows):
    text, _ = drawn(by_hand(rows), width)
    lines = text.splitlines()
    assert all(Text(line).cell_len <= width for line in lines)
    assert [line.split()[-1] for line in lines[3:-1]] == [number for *_, number in rows]
