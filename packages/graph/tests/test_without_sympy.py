"""onnx_ir without sympy: nobody can tell, but for the time."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    """Run code in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_models_are_read_and_written_without_sympy() -> None:
    run("""
import sys, hx_graph, onnx_ir as ir
model = ir.from_onnx_text('<ir_version: 10, opset_import: ["": 20]> m (float[n,3] x) => (float[n,3] y) { y = Neg(x) }')
again = ir.from_proto(ir.to_proto(model))
assert str(again.graph.outputs[0].shape[0].value) == "n" and again.graph.inputs[0].shape == again.graph.outputs[0].shape
assert "sympy" not in sys.modules and "onnx_ir._symbolic_shapes" not in sys.modules
assert not [finder for finder in sys.meta_path if "hx_graph" in type(finder).__module__]
""")


def test_arithmetic_of_symbolic_dimensions_is_sympys() -> None:
    run("""
import hx_graph, copy, pickle, onnx_ir as ir
dim = ir.SymbolicDim("n")
assert str((2 * dim + 1).value) == "2*n + 1"
assert (ir.SymbolicDim("max(n, 3)") - 1).evaluate({"n": 2}) == 2
import sympy
assert ir.SymbolicDim(sympy.Symbol("n") + 1).value == "n + 1"
assert isinstance((dim + 1)._expr, sympy.Expr)
assert pickle.loads(pickle.dumps(dim // 2)) == copy.deepcopy(dim // 2) == dim // 2
try:
    ir.SymbolicDim(1.5)
except TypeError as error:
    assert "sympy.Expr" in str(error)
else:
    raise AssertionError
""")


def test_sympy_elsewhere_is_sympy_itself() -> None:
    run("""
import sys, types, hx_graph, onnx_ir
import sympy, sympy.core
from sympy import Expr
assert type(sympy) is types.ModuleType and sys.modules["sympy"] is sympy
assert onnx_ir._core.sympy.Expr is Expr is sympy.core.Expr
class Own(sympy.Function): pass
assert issubclass(Own, Expr)
""")


@pytest.mark.parametrize("first", ["sympy", "onnx_ir"])
def test_what_was_imported_before_stays(first: str) -> None:
    run(f"import {first}, hx_graph, onnx_ir, sympy; assert onnx_ir._core.sympy is sympy")


def test_onnx_ir_is_described_as_it_is() -> None:
    run("""
import hx_graph, importlib, importlib.resources, inspect, onnx_ir
spec = onnx_ir.__spec__
assert type(spec.loader).__module__ == type(onnx_ir.__loader__).__module__ == "_frozen_importlib_external"
assert importlib.resources.files("onnx_ir").joinpath("__init__.py").is_file()
assert "class SymbolicDim" in inspect.getsource(onnx_ir._core)
assert importlib.reload(onnx_ir) is onnx_ir
""")


def test_threads_that_import_at_once_get_the_same_sympy() -> None:
    run("""
import threading, hx_graph
barrier, found = threading.Barrier(8), []
def use(number):
    barrier.wait()
    if number % 2:
        import sympy
        from sympy.core import Expr
        found.append(sympy.Expr is Expr)
    else:
        import onnx_ir
        found.append(str((onnx_ir.SymbolicDim("n") + number).value) in ("n", f"n + {number}"))
threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert found == [True] * 8
import sys, types, sympy, onnx_ir
assert type(sys.modules["sympy"]) is types.ModuleType and onnx_ir._core.sympy.Expr is sympy.Expr
""")


def test_what_fails_to_be_imported_leaves_nothing_behind() -> None:
    run("""
import sys, hx_graph
sys.modules["ml_dtypes"] = None  # onnx_ir needs it
try:
    import onnx_ir
except ImportError:
    pass
else:
    raise AssertionError
assert "sympy" not in sys.modules and "onnx_ir._symbolic_shapes" not in sys.modules
del sys.modules["ml_dtypes"]
import onnx_ir
assert (onnx_ir.SymbolicDim("n") + 1).value == "n + 1"
""")
