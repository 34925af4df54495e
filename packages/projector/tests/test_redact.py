"""Models and records without numbers and without words of a machine."""

from __future__ import annotations

import base64

import numpy as np
import onnx_ir as ir
import pytest

from hx_projector import graph_difference, redact_numbers, redact_record, redact_text
from hx_sidecar_schema import Example, ModuleContext, Observation, Provenance, RecoveredNode

TEXT = """
<ir_version: 10, opset_import: ["": 20, "l": 1]>
main (float[2] x, bool c) => (float[2] y)
<float[2] w = {1.5, 2.5}>
{
    k = Constant<value = float[2] {3.5, 4.5}>()
    s = Constant<value = int64[1] {-1}>()
    h = Mul(x, w)
    r = Reshape(h, s)
    z = If (c) <
        then_branch = t () => (float[2] a) { u = Constant<value = float[2] {5.5, 6.5}>() a = Add(r, u) },
        else_branch = e () => (float[2] b) { b = Sub(r, k) }
    >
    y = l.f(z)
}
<domain: "l", opset_import: ["": 20]>
f (i) => (o) { v = Constant<value = float[2] {7.5, 8.5}>() o = Div(i, v) }
"""


def held(model: ir.Model) -> bytes:
    return ir.to_proto(model).SerializeToString()


def test_no_number_of_a_weight_is_left_and_every_node_is() -> None:
    model, before = ir.from_onnx_text(TEXT), ir.from_onnx_text(TEXT)
    numbers = [np.array([n + 0.5, n + 1.5], np.float32).tobytes() for n in (1, 3, 5, 7)]
    assert all(number in held(model) for number in numbers)
    redact_numbers(model)
    assert not any(number in held(model) for number in numbers)
    operators = [[node.op_type for node in ir.traversal.RecursiveGraphIterator(m.graph)] for m in (before, model)]
    assert operators[0] == operators[1]
    assert [value.name for value in model.graph.inputs] == ["x", "c", "w"]
    assert not model.graph.initializers
    shape = next(node for node in model.graph if node.outputs[0].name == "s").attributes["value"]
    assert shape.as_tensor().numpy().tolist() == [-1]
    assert graph_difference(before, model) is not None


@pytest.mark.parametrize(
    ("dtype", "count", "kept"),
    [
        (ir.DataType.FLOAT, 1, True),
        (ir.DataType.BFLOAT16, 2, False),
        (ir.DataType.INT8, 64, True),
        (ir.DataType.INT8, 65, False),
        (ir.DataType.INT4, 65, False),
    ],
)
def test_which_constants_keep_their_numbers(dtype: ir.DataType, count: int, kept: bool) -> None:
    model = ir.from_onnx_text('<ir_version: 10, opset_import: ["": 21]> g (float x) => (float y) { y = Identity(x) }')
    tensor = ir.Tensor(np.ones(count, dtype.numpy()), dtype=dtype, name="t")
    model.graph[0].attributes["t"] = ir.AttrTensor("t", tensor)
    redact_numbers(model)
    left = model.graph[0].attributes["t"].as_tensor()
    assert (left.dtype, list(left.shape)) == (dtype, [count])
    assert bool(np.asarray(left.numpy()).astype(np.float32).any()) == kept


def test_every_text_but_names_goes_through_the_words() -> None:
    model = ir.from_onnx_text(TEXT)
    place = "/home/erika/model.py"
    body = model.graph[4].attributes["then_branch"].as_graph()
    (function,) = model.functions.values()
    for holder in (model, model.graph, model.graph[2], model.graph[2].outputs[0], body, body[0], function, function[0]):
        holder.metadata_props["where"] = place
        holder.doc_string = f"made in {place}"
    assert held(model).count(place.encode()) == 16
    redact_text(model, lambda text: text.replace("/home/erika", "~"))
    assert place.encode() not in held(model)
    assert held(model).count(b"~/model.py") == 16


def test_records_lose_values_of_inputs_constants_and_runs(caplog: pytest.LogCaptureFixture) -> None:
    number = np.array([1.5, 2.5], np.float32)
    node = ir.Node("", "Constant", [], [ir.AttrTensor("value", ir.Tensor(number))], outputs=[ir.Value(name="o")])
    proto = base64.b64encode(ir.to_proto(node).SerializeToString()).decode()
    row = RecoveredNode(inputs=["gone"], outputs=["o"], proto=proto, dtypes=["FLOAT"], shapes=[[2]])
    context = ModuleContext(
        generator=Provenance(),
        modules=[],
        calls=[],
        recovered=[row],
        examples={"x": Example(shape=[2], data="eJwDAAAAAAE=")},
        observation=Observation(operations=[], ports=[]),
    )
    left = redact_record(context)
    assert left.examples == {"x": Example(shape=[2])}
    assert left.observation is None
    (kept,) = left.recovered
    assert number.tobytes() in base64.b64decode(proto)
    assert number.tobytes() not in base64.b64decode(kept.proto)
    assert b"Constant" in base64.b64decode(kept.proto)
    assert caplog.records == []
