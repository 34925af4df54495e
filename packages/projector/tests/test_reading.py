"""What relinking reads of a file by itself is what it finds in the model that is read as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from hx_graph import read_model, write_model
from hx_projector import original_of, project, read_original
from hx_projector.relinking.original import Original, Outline
from hx_sidecar_schema import HxError

HEAD = '<ir_version: 10, opset_import: ["": 20, "ai.onnx.ml": 3, "local": 1]>\nm '
BODIES = (
    HEAD
    + """(float[N,3] x, bool c, float[3] given = {1,2,3}) => (float[N,3] y, float[?,3] z)
  <float[3] w = {1,2,3}, float[3,1] typed = {1,2,3}, float[N,3] h, int64[2] s> {
  h = Cast <to = 1> (x)
  s = Shape(h)
  k = Clip(h, , w)
  f = Mul(k, given)
  first, = Split <axis = 1, num_outputs = 1> (f)
  y = If (c) <
    then_branch = yes () => (float[N,3] t) <float[1] inner = {1}> {
      a = Add(first, inner)
      t = If (c) < then_branch = deep () => (float[N,3] u) { u = Mul(a, h) }, else_branch = flat () => (float[N,3] v) { v = Neg(a) } >
    },
    else_branch = no () => (float[N,3] e) { e = Add(w, h) }
  >
  z = Reshape(y, s)
}"""
)
LOOP = (
    HEAD
    + """(float[3] x) => (float[3] y) <int64 n = {2}, bool go = {1}> {
  y = Loop (n, go, x) < body = step (int64 i, bool on, float[3] last) => (bool on_out, float[3] next) {
    on_out = Identity(on)
    next = Add(last, x)
  } >
}"""
)
PLAIN = HEAD + "(float[3] x) => (float[3] y) <float[3] w = {1,2,3}> { a = Add(x, w)  y = Neg(a) }"


def _facts(found: Original) -> tuple[Any, ...]:
    def of(outline: Outline) -> dict[str, Any]:
        bodies = {key: of(body) for key, body in outline.bodies.items()}
        mappings = {"initializers": dict(outline.initializers), "types": dict(outline.types), "bodies": bodies}
        return vars(outline) | mappings

    return of(found.graph), dict(found.types)


@pytest.fixture
def saved(tmp_path, context_by_hand):
    """Save a model; return its path and its sidecar."""

    def saved(model: ir.Model):
        path = tmp_path / "m.onnx"
        write_model(model, path)
        context = context_by_hand([{"fqn": "", "outputs": {"output": "y"}}], origins={})
        return path, project(read_model(path), context, file=path.name)

    return saved


@pytest.mark.parametrize("text", [BODIES, LOOP, PLAIN])
def test_it_is_the_same(saved, text):
    path, sidecar = saved(ir.from_onnx_text(text))
    found = read_original(path, sidecar)
    assert found is not None
    assert _facts(found) == _facts(original_of(read_model(path)))


def test_a_model_that_takes_more_than_names_is_left_to_who_reads_all(saved):
    path, sidecar = saved(ir.from_onnx_text(PLAIN))
    assert read_original(path, sidecar) is not None
    assert read_original(path, sidecar.model_copy(update={"nodes": sidecar.nodes[1:]})) is None
    proto = onnx.load(path)
    proto.graph.node.reverse()
    onnx.save(proto, path)
    assert read_original(path, sidecar) is None
    proto.graph.node.reverse()
    proto.functions.add(name="F", domain="local")
    onnx.save(proto, path)
    assert read_original(path, sidecar) is None


def test_data_that_is_missing_is_refused_as_ever(saved):
    model = ir.from_onnx_text(PLAIN)
    model.graph.initializers["w"].const_value = ir.tensor(np.ones(5 << 20, np.float32), name="w")
    path, sidecar = saved(model)
    assert read_original(path, sidecar) is not None
    Path(f"{path}.data").unlink()
    with pytest.raises(HxError) as whole:
        read_model(path)
    with pytest.raises(HxError) as names:
        read_original(path, sidecar)
    assert (names.value.code, names.value.message) == (whole.value.code, whole.value.message)
    assert names.value.code == "HX204"
