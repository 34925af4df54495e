"""Acting on a model needs its files alone: no torch."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"torch", "transformers", "onnxscript", "onnxruntime", "typer", "rich", "hx_tracer"}


def test_import_loads_no_heavy_package() -> None:
    code = (
        "import hx_surgery, sys; [getattr(hx_surgery, name) for name in hx_surgery.__all__]; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "onnx_ir" in loaded
    assert not loaded & HEAVY
