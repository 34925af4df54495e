"""What is imported when, and what is said where an optional dependency is missing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx_ir as ir
import pytest

import hx_projector
from hx_projector import model_cost
from hx_projector.witness.graph_run import GraphRun
from hx_sidecar_schema import HxError

LIGHT = (
    "CATEGORIES",
    "MEANINGS",
    "UNCATEGORISED",
    "Category",
    "Change",
    "Cost",
    "Finding",
    "Meaning",
    "TotalCost",
    "UnknownOperator",
    "category_of",
)
HEAVY = ("numpy", "onnx", "onnx_ir", "onnxruntime", "onnx_tool")

MODEL = ir.from_onnx_text('<ir_version: 10, opset_import: ["" : 20]> net (float[2] x) => (float[2] y) { y = Relu(x) }')


def test_every_name_of_the_public_api_is_there():
    assert {name for name in hx_projector.__all__ if getattr(hx_projector, name) is None} == set()
    assert set(dir(hx_projector)) == set(hx_projector.__all__)
    with pytest.raises(AttributeError, match="no attribute 'projekt'"):
        hx_projector.projekt  # noqa: B018  # pyright: ignore


def test_tables_and_records_import_no_graph_library():
    code = f"""
import sys
import hx_projector
for name in {LIGHT!r}:
    getattr(hx_projector, name)
assert not [name for name in {HEAVY!r} if name in sys.modules]
hx_projector.project
assert "onnx_ir" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_onnx_tool(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx_tool", None)
    with pytest.raises(HxError) as error:
        model_cost(MODEL, {}, {})
    assert error.value.code == "HX213"
    assert "pip install onnx-tool" in (error.value.hint or "")


def test_without_onnxruntime(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(HxError) as error:
        GraphRun(MODEL, {"x": np.ones(2, np.float32)})
    assert error.value.code == "HX209"
    assert "pip install onnxruntime" in error.value.hint
