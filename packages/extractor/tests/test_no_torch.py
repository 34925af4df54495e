"""Profiling tools import this package alone: it must bring nothing heavy with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from hx_extractor import Hierarchy
from hx_sidecar_schema import Sidecar

HEAVY = {"torch", "transformers", "onnxscript", "onnxruntime", "onnx", "onnx_ir", "numpy"}


def test_import_loads_no_heavy_package() -> None:
    code = "import hx_extractor, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "hx_sidecar_schema" in loaded
    assert not loaded & HEAVY


def test_opening_a_saved_file_loads_none_either(export_by_hand: Callable[..., Hierarchy], tmp_path: Path) -> None:
    text = "net (float[2] x) => (float[2] y) { y = Neg(x) }"
    text = f'<ir_version: 10, opset_import: ["": 20]> {text}'
    path = export_by_hand(tmp_path, text, [{"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}}]).path
    assert path is not None
    sidecar = path.with_name("model_hierarchy.json")
    Sidecar.load(sidecar).with_file_digest(path).save(sidecar)
    code = f"import hx_extractor, sys; print(*hx_extractor.load({str(path)!r}).root.nodes); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    nodes, loaded = done.stdout.splitlines()
    assert "Neg" in nodes
    assert not {name.partition(".")[0] for name in loaded.split()} & HEAVY
