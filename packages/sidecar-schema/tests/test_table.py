"""Tables of records: what names contain is text, on a terminal and in a notebook."""

from __future__ import annotations

import pytest

from hx_sidecar_schema import Table


@pytest.mark.parametrize(
    "name", ["</b><script>alert(1)</script>", "red\x1b[31m", "left\u202eright", "x" * 10_000, "two\nlines"]
)
def test_whatever_a_name_holds_is_text(name: str) -> None:
    table = Table(name, ("module",), [(f"    {name}",), ("last",)])
    for text in (table.to_text(), table.to_html()):
        assert not any(character in text for character in "\x1b\u202e")
        assert len(text) < 3_000
    assert "<script" not in table.to_html()
    assert len(table.to_text().splitlines()) == 4
    assert "    " in table.to_html()


def test_a_notebook_shows_the_first_rows_of_a_long_table() -> None:
    html = Table("numbers", ("number",), [(row,) for row in range(150)], note="and more calls").to_html()
    assert html.count("<tr>") == 101
    assert "and 50 more rows</div>" in html
    assert "and more calls</div>" in html
