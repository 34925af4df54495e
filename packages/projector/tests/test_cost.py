"""What nodes compute: closed formulas, sizes, and what is not known."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from hx_projector import ModelCost, call_costs, model_cost, project_file
from hx_sidecar_schema import HxError, Initializer

HEAD = '<ir_version: 10, opset_import: ["" : 23, "com.microsoft" : 1, "made.up" : 1, "local" : 1]>'


def cost_of(body: str, functions: str = "", **shapes: list[int]) -> ModelCost:
    return model_cost(ir.from_onnx_text(f"{HEAD} g {body}\n{functions}"), shapes, {})


def macs(body: str, **shapes: list[int]) -> int:
    cost = cost_of(body, **shapes)
    assert [row.arithmetic.unknown for row in cost.nodes if row.arithmetic.unknown] == []
    return sum(row.arithmetic.macs for row in cost.nodes)


def test_a_linear_multiplies_each_row_with_each_column():
    assert macs("(float[2,5,8] x, float[8,3] w) => (y) { y = MatMul(x, w) }") == 2 * 5 * 8 * 3
    gemm = "(float[5,8] x, float[3,8] w, float[3] b) => (y) { y = Gemm<transB=1>(x, w, b) }"
    assert macs(gemm) == 5 * 8 * 3  # adding a bias multiplies nothing


@pytest.mark.parametrize(("left", "right", "wanted"), [("7", "7", 7), ("7", "7,2", 14), ("3,7", "7", 21)])
def test_products_with_vectors(left, right, wanted):
    assert macs(f"(float[{left}] x, float[{right}] w) => (y) {{ y = MatMul(x, w) }}") == wanted


@pytest.mark.parametrize(
    ("group", "stride", "dilation", "height"), [(1, 1, 1, 9), (4, 2, 1, 5), (2, 1, 3, 5), (8, 3, 2, 3)]
)
def test_a_convolution_meets_its_kernel_at_every_output(group, stride, dilation, height):
    attributes = f"group={group}, strides=[{stride}], dilations=[{dilation}], pads=[1,1]"
    conv = f"(float[2,8,9] x, float[16,{8 // group},3] w, float[16] b) => (y) {{ y = Conv<{attributes}>(x, w, b) }}"
    assert (9 + 2 - dilation * 2 - 1) // stride + 1 == height
    assert macs(conv) == 2 * 16 * height * (8 // group) * 3


def test_a_convolution_in_three_dimensions():
    conv = "(float[1,2,5,6,7] x, float[4,2,3,3,3] w) => (y) { y = Conv(x, w) }"
    assert macs(conv) == 4 * (3 * 4 * 5) * 2 * 27


def test_a_transposed_convolution_meets_its_kernel_at_every_input():
    conv = "(float[2,4,5,5] x, float[4,3,3,3] w) => (y) { y = ConvTranspose<strides=[2,2], group=2>(x, w) }"
    assert macs(conv) == 2 * 4 * 5 * 5 * 3 * 9


def test_attention_is_two_products():
    attention = "(float[2,6,64] q, float[2,9,64] k) => (y) { y = Attention<q_num_heads=4, kv_num_heads=4>(q, k, k) }"
    assert macs(attention) == 2 * (2 * 4 * 6 * 9 * 16)
    written = """(float[2,4,6,16] q, float[2,4,16,9] k, float[2,4,9,16] v) => (y)
        { s = MatMul(q, k)  p = Softmax(s)  y = MatMul(p, v) }"""
    assert macs(written) == 2 * (2 * 4 * 6 * 9 * 16)


def test_recurrent_operators_use_all_weights_in_every_step():
    lstm = "(float[7,2,5] x, float[1,12,5] w, float[1,12,3] r) => (y) { y = LSTM<hidden_size=3>(x, w, r) }"
    assert macs(lstm) == 7 * 2 * (12 * 5 + 12 * 3)


@pytest.mark.parametrize(
    ("equation", "wanted"), [("bij,jk->bik", 2 * 3 * 4 * 5), ("...ij,jk->...ik", 2 * 3 * 4 * 5), ("bij,jk", 120)]
)
def test_einsum_loops_over_all_labels(equation, wanted):
    body = f'(float[2,3,4] x, float[4,5] w) => (y) {{ y = Einsum<equation="{equation}">(x, w) }}'
    assert macs(body) == wanted


def test_integer_and_fused_products_count_as_plain_ones():
    integer = "(uint8[2,8] x, uint8[8,3] w, uint8 a, uint8 b) => (y) { y = MatMulInteger(x, w, a, b) }"
    assert macs(integer) == 2 * 8 * 3
    fused = "(float[8,2] x, float[3,8] w) => (float[2,3] y) { y = com.microsoft.FusedMatMul<transA=1, transB=1>(x, w) }"
    assert macs(fused) == 2 * 8 * 3


def test_an_operator_that_nobody_knows_is_reported_and_not_zero():
    cost = cost_of("(float[2,8] x) => (y) { a = made.up.Mix(x)  b = MatMul(a, x)  y = IsNaN(x) }")
    assert [row.arithmetic.unknown for row in cost.nodes] == [
        (("made.up::Mix", "no formula"),),
        (("MatMul", "sizes unknown"),),
        (),
    ]
    assert [row.arithmetic.uncounted for row in cost.nodes] == [(), (), ("IsNaN",)]
    assert [row.unsized_values for row in cost.nodes] == [1, 1, 0]


def test_what_onnx_tool_raises_is_reported(monkeypatch):
    from onnx_tool.node import ConvNode

    def broken(self, inputs, outputs):
        raise ValueError("no")

    monkeypatch.setattr(ConvNode, "profile", broken)
    cost = cost_of("(float[2,8,9] x, float[16,8,3] w) => (y) { y = Conv(x, w) }")
    assert cost.nodes[0].arithmetic.unknown == (("Conv", "onnx-tool: ValueError('no')"),)


def test_arithmetic_that_contracts_nothing_is_counted_apart():
    (row,) = cost_of("(float[2,8] x) => (y) { y = Add(x, x) }").nodes
    assert (row.arithmetic.macs, row.arithmetic.other) == (0, 16)
    (row,) = cost_of("(float x) => (y) { y = Exp(x) }").nodes
    assert row.arithmetic.other == 32


def test_a_call_of_a_function_costs_what_its_body_does():
    function = '<domain: "local", opset_import: ["" : 23]> linear (a, b) => (y) { t = MatMul(a, b)  y = Relu(t) }'
    cost = cost_of("(float[2,8] x, float[8,3] w) => (float[2,3] y) { y = local.linear(x, w) }", function)
    assert [row.arithmetic.macs for row in cost.nodes] == [2 * 8 * 3]


def test_a_scan_counts_every_step_and_branches_count_once():
    scan = """(float[4] h, float[6,4] xs, float[4,4] w) => (z, ys) {
        z, ys = Scan<num_scan_inputs=1, body = g (float[4] a, float[4] b) => (float[4] c, float[4] d)
            { s = Add(a, b)  c = MatMul(s, w)  d = Identity(c) }>(h, xs) }"""
    cost = cost_of(scan)
    assert sum(row.arithmetic.macs for row in cost.nodes) == 6 * 16
    assert cost.counted_once == 0
    assert {row.graph for row in cost.nodes} == {"", "z.body"}
    branch = """(bool c, float[2,4] x, float[4,4] w) => (y) {
        y = If<then_branch = a () => (t) { t = MatMul(x, w) }, else_branch = b () => (e) { e = Identity(x) }>(c) }"""
    cost = cost_of(branch)
    assert sum(row.arithmetic.macs for row in cost.nodes) == 2 * 16
    assert cost.counted_once == 2


def test_symbols_become_the_sizes_that_are_asked_for():
    body = "(float[batch,8] x, float[batch,8] z, float[8,3] w) => (y) { s = Add(x, z)  y = MatMul(s, w) }"
    assert macs(body, x=[5, 8]) == 5 * 8 * 3
    assert cost_of(body, x=[5, 8]).inputs == {"x": [5, 8], "z": [5, 8], "w": [8, 3]}
    assert cost_of(body).inputs["x"] is None


@pytest.mark.parametrize("shapes", [{"x": [5, 9]}, {"x": [5]}, {"x": [5, 8], "z": [4, 8]}, {"other": [5, 8]}])
def test_a_shape_that_the_model_does_not_take_is_refused(shapes):
    body = "(float[batch,8] x, float[batch,8] z) => (y) { y = Add(x, z) }"
    with pytest.raises(HxError, match="nput") as error:
        cost_of(body, **shapes)
    assert error.value.code == "HX409"


def test_recorded_shapes_settle_what_given_ones_leave_open():
    model = ir.from_onnx_text(f"{HEAD} g (float[batch,n] x, float[batch,n] z) => (y) {{ y = Add(x, z) }}")
    cost = model_cost(model, {"x": [5, 8]}, {"x": [2, 3], "z": [2, 3]})
    assert cost.inputs == {"x": [5, 8], "z": [5, 8]}


def test_sizes_that_only_a_run_shows_are_asked_for():
    model = ir.from_onnx_text(
        f"{HEAD} g (float[batch,8] x) => (y) {{ i = NonZero(x)  s = Transpose(i)  y = Cast<to=1>(s) }}"
    )
    asked: list[list[str]] = []

    def look(names, inputs):
        asked.append(list(names))
        assert inputs == {"x": (2, 8)}
        return {"i": [2, 5]}

    before = str(model)
    cost = model_cost(model, {"x": [2, 8]}, {}, look)
    assert asked == [["i", "s", "y"]]
    assert [row.activation_bytes for row in cost.nodes] == [80, 80, 40]  # INT64, INT64, FLOAT
    assert str(model) == before


def test_weights_that_lie_outside_the_file_are_not_read(tmp_path):
    model = ir.from_onnx_text(f"{HEAD} g (float[2,8] x) => (y) {{ y = MatMul(x, w) }}".replace("(x, w)", "(x, x)"))
    weight = ir.Value(name="w", shape=ir.Shape([8, 3]), type=ir.TensorType(ir.DataType.FLOAT))
    weight.const_value = ir.ExternalTensor(
        "missing.data", 0, 96, ir.DataType.FLOAT, shape=ir.Shape([8, 3]), name="w", base_dir=tmp_path
    )
    model.graph.register_initializer(weight)
    node = next(iter(model.graph))
    node.replace_input_with(1, weight)
    cost = model_cost(model, {}, {})
    assert cost.nodes[0].arithmetic.macs == 2 * 8 * 3
    assert cost.weights["w"][:2] == (24, 96)


def test_every_weight_counts_once_in_a_subtree():
    model = ir.from_onnx_text(
        f"{HEAD} g (float[2,8] x) => (y) {{ [/a/one/M] p = MatMul(x, w)  [/a/two/M] y = MatMul(p, w) }}".replace(
            "[/a/one/M] ", ""
        ).replace("[/a/two/M] ", "")
    )
    weight = ir.Value(name="a.weight", const_value=ir.tensor(np.ones((8, 8), np.float32)))
    for node, name in zip(model.graph, ("/a/one/M", "/a/two/M"), strict=True):
        node.name = name
        node.replace_input_with(1, weight)
    model.graph.register_initializer(weight)
    sidecar = project_file(model, file="x.onnx")
    costs = call_costs(sidecar, model_cost(model, {}, {}))
    by_name = {sidecar.module_of(call).fqn: row for call, row in zip(sidecar.calls, costs, strict=True)}

    def numbers(cost):
        return (cost.nodes, cost.macs, cost.other, cost.parameters, cost.weight_bytes)

    assert numbers(by_name["a"].total) == (2, 2 * 2 * 64, 0, 64, 256)
    assert numbers(by_name["a.one"].total) == (1, 2 * 64, 0, 64, 256)
    assert numbers(by_name["a"].own)[:2] == (0, 0)


def test_a_constant_of_which_nothing_is_a_parameter_is_none():
    model = ir.from_onnx_text(
        f"{HEAD} g (float[2] x) => (y) <float two = {{2}}, float[2] w = {{1, 3}}> {{ p = Pow(x, two)  y = Mul(p, w) }}"
    )
    sidecar = project_file(model, file="x.onnx")
    rows = {None: 3, (): 2}
    for sources, parameters in rows.items():
        row = Initializer(name="two", transform="folded", sources=None if sources is None else list(sources))
        known = sidecar.model_copy(update={"initializers": [row, Initializer(name="w", parameter="w")]})
        (cost,) = call_costs(known, model_cost(model, {}, {}))
        assert (cost.total.parameters, cost.total.weight_bytes) == (parameters, 12)
