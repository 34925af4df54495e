"""File names."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, strategies as st

from hx.files import call_stems
from hx.text import count, percent, size


@given(st.lists(st.tuples(st.text(alphabet="ab._1A", max_size=6), st.integers(0, 3)), max_size=12))
def test_stems_are_file_names_and_no_two_are_equal(calls):
    stems = call_stems(calls, root="Model")
    assert len({stem.lower() for stem in stems}) == len(calls)
    assert all(stem and Path(stem).name == stem for stem in stems)


def test_stems_say_which_call():
    calls = [("", 0), ("layer.0.self", 0), ("layer.0.self", 1), ("layer.0_self", 0), ("x" * 400, 0)]
    assert call_stems(calls, root="Model") == ["Model", "layer_0_self", "layer_0_self_1", "layer_0_self_2", "x" * 180]


def test_numbers():
    assert [count(n) for n in (0, 950, 1234, 31_234, 999_999, 124_000_000)] == [
        "0",
        "950",
        "1.23 k",
        "31.2 k",
        "1 M",
        "124 M",
    ]
    assert [size(n) for n in (12, 1200)] == ["12 B", "1.2 kB"]
    assert [percent(p) for p in (100.0, 99.99, 97.25)] == ["100 %", "99.9 %", "97.2 %"]
