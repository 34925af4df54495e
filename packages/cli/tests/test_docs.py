"""The list of errors is complete, and lists none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(not (ROOT / "docs" / "errors.md").exists(), reason="outside the repository")
def test_every_error_is_documented():
    documented = set(re.findall(r"^\| (HX\d{3}) ", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))
    raised: set[str] = set()
    for path in ROOT.glob("packages/*/src/**/*.py"):
        raised |= set(re.findall(r'"(HX\d{3})"', path.read_text()))
    assert raised == documented
