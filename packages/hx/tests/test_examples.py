"""The examples of the docstrings, run."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import hx

MODULES = sorted({getattr(hx, name).__module__ for name in hx.__all__ if hasattr(getattr(hx, name), "__module__")})
MODULES = ["hx", *(name for name in MODULES if name.startswith("hx."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
    assert result.failed == 0
