"""Profiling tools import this package alone: it must bring nothing heavy with it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"torch", "transformers", "onnxscript", "onnxruntime", "typer", "rich", "hx_projector", "hx_tracer"}


def test_import_loads_no_heavy_package() -> None:
    code = (
        "import hx_profiler, sys; [getattr(hx_profiler, name) for name in hx_profiler.__all__]; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "onnx_ir" in loaded
    assert not loaded & HEAVY
