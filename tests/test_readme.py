"""The Python of README.md runs as it stands, from top to bottom; the page of the Python API names all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hx

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    assert names["outputs"]
    saved = sorted(path.name for path in tmp_path.glob("attention_*.onnx"))
    rows = [call.row for call in hx.load("encoder.onnx").calls("layers.*.self_attn")]
    assert saved == sorted(f"attention_{row}.onnx" for row in rows)


def test_the_two_commands_of_the_readme() -> None:
    assert "pip install uv && uv run hx demo\n" in README
    (command,) = re.findall(r"^pip install uv && (uv run pytest.*)$", README, flags=re.MULTILINE)
    assert f"\n{command}\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_page_of_the_api_names_all_that_is_public() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: hx\.(\w+)$", page, flags=re.MULTILINE)) == hx.__all__
