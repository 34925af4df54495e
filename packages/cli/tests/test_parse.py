"""Options that are more than one word."""

from __future__ import annotations

import pytest

from hx_cli._options import hint_of
from hx_cli._parse import parse_memory, parse_threshold
from hx_sidecar_schema import HxError


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("500MB", 500_000_000),
        ("2GB", 2 * 10**9),
        ("2GiB", 2 * 2**30),
        ("1.5 kB", 1500),
        ("1.5kib", 1536),
        ("64m", 64 * 10**6),
        ("17", 17),
        ("17B", 17),
        ("1TB", 10**12),
    ],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_memory(text) == size_bytes


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "0.1B", "2XB", "GB", "1e9", "2GBB", "iB", "2ib"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(HxError) as caught:
        parse_memory(text)
    assert caught.value.code == "HX406"
    assert repr(text) in caught.value.message


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
def test_no_limits(value: float) -> None:
    with pytest.raises(HxError) as caught:
        parse_threshold(value)
    assert caught.value.code == "HX406"


def test_limits() -> None:
    assert [parse_threshold(value) for value in (None, 0.0, 1e-3)] == [None, 0.0, 1e-3]


def test_the_option_that_helps_stands_in_the_first_sentence() -> None:
    error = HxError("No.", code="HX109", hint="Give shapes. If they are right, report it.", argument="input_shapes")
    assert hint_of(error) == "Give shapes, with --input-shape NAME=SIZES. If they are right, report it."
    error = HxError("No.", code="HX405", hint="Give into='N'; or at='PATTERN'.", argument="into")
    assert hint_of(error) == "Give --into N; or --at PATTERN."
