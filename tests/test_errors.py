"""Errors of one kind are of one class: nobody reads a kind off a code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import hx_sidecar_schema
from hx_sidecar_schema import HxError

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("packages/*/src", "benchmarks", "examples") for path in ROOT.glob(f"{folder}/**/*.py")
)


def nodes(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node  # type: ignore[attr-defined]


def codes_in(node: ast.AST) -> list[str]:
    texts = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return [text for text in texts if isinstance(text, str) and text.startswith("HX") and text[2:].isdigit()]


def test_no_code_is_compared() -> None:
    compared = [
        place
        for place, node in nodes(ast.Compare)
        if codes_in(node) or any(isinstance(part, ast.Attribute) and part.attr == "code" for part in ast.walk(node))
    ]
    assert not compared, "catch a subclass of HxError instead"
    held = [place for place, node in nodes(ast.Tuple) if codes_in(node)]
    assert not held


def test_every_error_has_a_code() -> None:
    public = {name: getattr(hx_sidecar_schema, name) for name in hx_sidecar_schema.__all__}
    kinds = {name: kind for name, kind in public.items() if isinstance(kind, type) and issubclass(kind, HxError)}
    codes = [kind.code for name, kind in kinds.items() if name != "HxError"]
    assert all(codes)
    assert len(set(codes)) == len(codes)
    plain = [
        place
        for place, node in nodes(ast.Call)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "HxError"
        and not any(word.arg == "code" for word in node.keywords)
    ]
    assert not plain
