"""Graphs with bodies in bodies, and a function whose node has an attribute that refers to one of the function's."""

from __future__ import annotations

import onnx_ir as ir
import pytest

TEXT = """
<ir_version: 10, opset_import: ["": 20, "local": 1]>
main (float[2,N] x, bool c) => (float[2,N] y)
<float[1] w = {1.0}>
{
  h = Mul(x, w)
  k = If(c) <
    then_branch = outer () => (float[2,N] t) {
      s = Add(h, w)
      t = If(c) <
        then_branch = inner () => (float[2,N] u) { twin = Neg(h)  u = Sub(twin, s) },
        else_branch = other () => (float[2,N] v) { v = local.twice(s) }> },
    else_branch = else_ () => (float[2,N] e) { twin = Relu(x)  e = Neg(twin) }>
  y = Add(k, x)
}
<domain: "local", opset_import: ["": 20]>
twice (a) => (b) { d = Add(a, a)  b = Identity(d) }
"""


@pytest.fixture
def model() -> ir.Model:
    return ir.from_onnx_text(TEXT)


@pytest.fixture
def referring() -> ir.Model:
    """A model with a function whose If takes a body from an attribute of the function."""
    model = ir.from_onnx_text(TEXT)
    (function,) = model.functions.values()
    condition = ir.node("Constant", [], {"value_int": 1}, outputs=[ir.Value(name="condition")])
    node = ir.node("If", condition.outputs, {})
    for name, kind in (("then_branch", ir.AttributeType.GRAPH), ("else_branch", ir.AttributeType.GRAPHS)):
        node.attributes[name] = ir.RefAttr(name, "given", kind)
    for new in (condition, node):
        function.append(new)
    return model
