"""Every command of the guides ends as they say, and prints what they show, but for numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from guides import PAGES, follow


def comparable(text: str) -> list[str]:
    """Return the lines without the numbers that stand alone, their units, and the widths of columns."""
    text = re.sub(r"(?<![\w.])[-+]?\d[\d.]*(e[-+]\d+)?( (us|ms|s|kB|MB)\b)?", "#", text)
    return [" ".join(line.split()) for line in re.sub("─+", "─", text).splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_guide_is_true(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "96")
    shown = 0
    for ran in follow(page):
        assert ran.exit_code == ran.expected_code, ran.command
        if ran.text is not None:
            printed = comparable(ran.printed)
            for line in comparable(ran.text):
                assert line == "..." or line in printed, f"{ran.command}\n{ran.printed}"
        shown += ran.text is not None or ran.picture is not None
    assert shown
