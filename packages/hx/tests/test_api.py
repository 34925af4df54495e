"""What `import hx` gives and costs."""

from __future__ import annotations

import subprocess
import sys

import hx


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import hx, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {
        "torch",
        "transformers",
        "onnx",
        "onnx_ir",
        "onnxruntime",
        "numpy",
        "sympy",
        "pydantic",
        "rich",
        "typer",
    }
    assert not heavy & set(done.stdout.split())


def test_every_public_name_is_there() -> None:
    assert sorted(hx.__all__) == hx.__all__
    for name in hx.__all__:
        assert getattr(hx, name) is not None
    assert dir(hx) == hx.__all__


def test_every_function_has_an_example() -> None:
    functions = [name for name in hx.__all__ if name.islower() and callable(getattr(hx, name))]
    assert len(functions) > 10
    for name in functions:
        assert "Example:\n" in getattr(hx, name).__doc__, name
