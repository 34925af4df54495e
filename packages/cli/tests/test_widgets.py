"""Pieces that views draw with."""

import io

from hypothesis import given, strategies as st
from rich.console import Console

from hx_cli._long_table import LongTable
from hx_cli._widgets import escape, styled


@given(name=st.text(st.characters(max_codepoint=0x180), max_size=8) | st.just("\x1b[31mred\x9b0m"))
def test_nothing_in_a_name_acts_on_the_terminal(name):
    console = Console(file=io.StringIO(), width=80, color_system=None)
    rows = LongTable({"name": ""}, [])
    rows.add_row([name], [])
    for shown in (escape(name), styled(name), rows):
        console.print(shown, highlight=False)
    assert not {c for c in console.file.getvalue() if ord(c) < 32 or 127 <= ord(c) < 160} - {"\n", "\t"}
