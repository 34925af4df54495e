"""docs/api.md is what the docstrings say now, and names all that is public."""

from __future__ import annotations

import runpy
from pathlib import Path

import hx

ROOT = Path(__file__).parents[1]


def test_the_page_is_current_and_whole() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "api_page.py"))
    assert sorted(name for names in script["TASKS"].values() for name in names) == hx.__all__
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert script["page"]() == page, "run `uv run python scripts/api_page.py`"
