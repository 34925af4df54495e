"""Profiling tools import this package alone: it must bring nothing heavy with it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"torch", "transformers", "onnxscript", "onnxruntime", "onnx", "onnx_ir", "numpy"}


def test_import_loads_no_heavy_package() -> None:
    code = "import hx_extractor, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "hx_sidecar_schema" in loaded
    assert not loaded & HEAVY
