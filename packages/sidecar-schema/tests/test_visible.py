"""Names as text that can be shown."""

from __future__ import annotations

import pytest

from hx_sidecar_schema import visible


@pytest.mark.parametrize(
    "name", ["encoder.layer.1", "<script>alert('x')</script>", '"quoted"', "層 \N{GREEK SMALL LETTER ALPHA}"]
)
def test_what_can_be_seen_stays(name: str) -> None:
    assert visible(name) == name


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb ~"),
        ("a\u202eb", r"a\u202eb ~"),
        ("a\nb", r"a\nb ~"),
        ("\u200fa", r"\u200fa ~"),
        ("a\u2028b", r"a\u2028b ~"),
    ],
)
def test_what_cannot_be_seen_is_escaped(name: str, start: str) -> None:
    assert visible(name).startswith(start)


def test_a_long_name_is_cut_and_still_its_own() -> None:
    one, other = "a" * 5000 + "x" + "a" * 5000, "a" * 5000 + "y" + "a" * 5000
    assert len(visible(one)) < 250
    assert visible(one) != visible(other)
    assert visible("a\\x1bb") != visible("a\x1bb")
