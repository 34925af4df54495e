"""What became of each call: its status, and the values that it needs from outside."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
import pytest

from hx_projector import project
from hx_sidecar_schema import Example, ModuleCall, ModuleContext, Port, RecoveredNode, graph_digest

ContextByHand = Callable[..., ModuleContext]


def model_of(body: str, *, weights: str = "", inputs: str = "float[2,3] x") -> ir.Model:
    return ir.from_onnx_text(
        f"""
        <ir_version: 10, opset_import: ["": 20]>
        main ({inputs}) => (float[2,3] y)
        {f"<{weights}>" if weights else ""}
        {{ {body} }}
        """
    )


def judged(model: ir.Model, context: ModuleContext, row: int = 1) -> ModuleCall:
    return project(model, context, file="m.onnx").calls[row]


def implicit(call: ModuleCall) -> list[str]:
    return [port.name for port in call.inputs if port.implicit]


def used(call: ModuleCall) -> list[str]:
    return [port.name for port in call.inputs if not port.unused and not port.implicit]


# Status


ROOT = {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}}


def test_extractable(context_by_hand: ContextByHand) -> None:
    context = context_by_hand(
        [ROOT, {"fqn": "m", "inputs": {"input": "x"}, "outputs": {"output": "h"}}], origins={"h": [1], "y": [0]}
    )
    call = judged(model_of("h = Neg(x)  y = Relu(h)"), context)
    assert (call.status, call.reason) == ("extractable", "")
    assert [(port.name, port.unused) for port in call.inputs] == [("input", False)]


def test_identity_adds_no_node(context_by_hand: ContextByHand) -> None:
    context = context_by_hand([ROOT, {"fqn": "drop", "inputs": {"input": "x"}, "outputs": {"output": "x"}}])
    call = judged(model_of("y = Relu(x)"), context)
    assert call.status == "identity"
    assert call.reason


def test_a_module_that_adds_one_output_to_its_argument_is_no_identity(context_by_hand: ContextByHand) -> None:
    calls = [ROOT, {"fqn": "m", "inputs": {"a": "x"}, "outputs": {"output.0": "x", "output.1": "h"}}]
    context = context_by_hand(calls, origins={"h": [1], "y": [0]})
    assert judged(model_of("h = Neg(x)  y = Relu(h)"), context).status == "extractable"


def test_a_result_that_became_a_weight_is_folded(context_by_hand: ContextByHand) -> None:
    calls = [ROOT, {"fqn": "positions", "inputs": {}, "outputs": {"output": "w"}}]
    context = context_by_hand(calls, parameters={"w": None}, origins={"y": [0]})
    call = judged(model_of("y = Add(x, w)", weights="float[3] w = {1.0, 2.0, 3.0}"), context)
    assert call.status == "folded"
    assert "constant" in call.reason


def test_a_result_that_depends_on_no_input_is_folded(context_by_hand: ContextByHand) -> None:
    calls = [ROOT, {"fqn": "table", "inputs": {}, "outputs": {"output": "k"}}]
    context = context_by_hand(calls, folded=[1], origins={"k": [1], "y": [0]})
    call = judged(model_of("k = Constant<value = float[3] {1.0, 2.0, 3.0}>()  y = Add(x, k)"), context)
    assert call.status == "folded"


def test_a_lost_port_means_fused_and_names_the_neighbour(context_by_hand: ContextByHand) -> None:
    calls = [
        ROOT,
        {"fqn": "conv", "inputs": {"input": "x"}, "outputs": {"output": None}},
        {"fqn": "norm", "inputs": {"input": None}, "outputs": {"output": "y"}},
    ]
    context = context_by_hand(calls, origins={"y": [1, 2]})
    model = model_of("y = Relu(x)")
    conv, norm = judged(model, context, 1), judged(model, context, 2)
    assert conv.status == norm.status == "fused"
    assert "'/Net/Norm'" in conv.reason
    assert "'output'" in conv.reason
    assert "'/Net/Conv'" in norm.reason
    assert "'input'" in norm.reason


def test_a_lost_port_never_becomes_an_implicit_input(context_by_hand: ContextByHand) -> None:
    calls = [ROOT, {"fqn": "norm", "inputs": {"input": None}, "outputs": {"output": "y"}}]
    call = judged(model_of("h = Neg(x)  y = Relu(h)"), context_by_hand(calls, origins={"h": [0], "y": [1]}))
    assert call.status == "fused"
    assert implicit(call) == []


def test_a_result_that_reaches_nothing_is_unused(context_by_hand: ContextByHand) -> None:
    calls = [ROOT, {"fqn": "aux", "inputs": {"input": "x"}, "outputs": {"output": None}}]
    call = judged(model_of("y = Relu(x)"), context_by_hand(calls, dead=[1], origins={"y": [0]}))
    assert call.status == "unused"
    assert call.reason


def test_a_call_without_tensors_is_unused(context_by_hand: ContextByHand) -> None:
    calls = [ROOT, {"fqn": "flag", "inputs": {"input": "x"}, "outputs": {}}]
    call = judged(model_of("y = Relu(x)"), context_by_hand(calls, origins={"y": [0]}))
    assert call.status == "unused"
    assert "no tensor" in call.reason


def test_modules_that_did_not_run_are_not_called_and_containers_are_not_listed(context_by_hand: ContextByHand) -> None:
    context = context_by_hand([ROOT], modules=["pooler", "layers"], containers=["layers"], origins={"y": [0]})
    sidecar = project(model_of("y = Relu(x)"), context, file="m.onnx")
    rest = [(sidecar.module_of(call).fqn, call.status, bool(call.reason)) for call in sidecar.calls[1:]]
    assert rest == [("pooler", "not_called", True)]


# Ports


def test_an_argument_that_the_outputs_do_not_need_is_unused(context_by_hand: ContextByHand) -> None:
    calls = [
        {"fqn": "", "inputs": {"x": "x", "mask": "mask"}, "outputs": {"output": "y"}},
        {"fqn": "m", "inputs": {"input": "x", "mask": "mask"}, "outputs": {"output": "h"}},
    ]
    model = model_of("h = Neg(x)  y = Mul(h, mask)", inputs="float[2,3] x, float[2,3] mask")
    call = judged(model, context_by_hand(calls, origins={"h": [1], "y": [0]}))
    assert [(port.name, port.unused) for port in call.inputs] == [("input", False), ("mask", True)]


def test_a_tensor_reached_around_the_arguments_is_implicit(context_by_hand: ContextByHand) -> None:
    calls = [
        {"fqn": "", "inputs": {"x": "x", "z": "z"}, "outputs": {"output": "y"}},
        {"fqn": "m", "inputs": {"input": "h"}, "outputs": {"output": "y"}},
    ]
    model = model_of("h = Neg(x)  memory = Exp(z)  y = Add(h, memory)", inputs="float[2,3] x, float[2,3] z")
    call = judged(model, context_by_hand(calls, origins={"h": [0], "memory": [0], "y": [1]}))
    assert call.status == "extractable"
    assert implicit(call) == ["implicit.memory"]
    assert call.inputs[-1] == Port(name="implicit.memory", value="memory", dtype="UNDEFINED", shape=[], implicit=True)


def test_an_input_of_the_model_can_be_implicit(context_by_hand: ContextByHand) -> None:
    calls = [ROOT, {"fqn": "m", "inputs": {"input": "h"}, "outputs": {"output": "y"}}]
    model = model_of("h = Neg(x)  y = Add(h, z)", inputs="float[2,3] x, float[2,3] z")
    call = judged(model, context_by_hand(calls, origins={"h": [0], "y": [1]}))
    assert implicit(call) == ["implicit.z"]
    assert (call.inputs[-1].dtype, call.inputs[-1].shape) == ("FLOAT", [2, 3])


def test_constants_and_weights_are_never_implicit(context_by_hand: ContextByHand) -> None:
    calls = [ROOT, {"fqn": "m", "inputs": {"input": "h"}, "outputs": {"output": "y"}}]
    model = model_of(
        "k = Constant<value = float {2.0}>()  s = Mul(k, w)  h = Neg(x)  y = Add(h, s)",
        weights="float[3] w = {1.0, 2.0, 3.0}",
    )
    context = context_by_hand(calls, origins={"k": [0], "s": [0], "h": [0], "y": [1]}, parameters={"w": "w"})
    assert implicit(judged(model, context)) == []


def test_a_shared_helper_that_derives_from_an_argument_is_copied_in(context_by_hand: ContextByHand) -> None:
    """Two layers take `mask`; the exporter computed its inverse once, in the first."""
    calls = [
        {"fqn": "", "inputs": {"x": "x", "mask": "mask"}, "outputs": {"output": "y"}},
        {"fqn": "l0", "inputs": {"h": "x", "mask": "mask"}, "outputs": {"output": "h"}},
        {"fqn": "l1", "inputs": {"h": "h", "mask": "mask"}, "outputs": {"output": "y"}},
    ]
    model = model_of(
        "inverse = Neg(mask)  h = Mul(x, inverse)  y = Mul(h, inverse)", inputs="float[2,3] x, float[2,3] mask"
    )
    context = context_by_hand(calls, origins={"inverse": [1], "h": [1], "y": [2]})
    call = judged(model, context, 2)
    assert implicit(call) == []
    assert used(call) == ["h", "mask"]


@pytest.mark.parametrize("argument", ["c", "h"])
def test_what_a_body_captures_is_needed(context_by_hand: ContextByHand, argument: str) -> None:
    ports = {"c": "c", "h": "h"}
    calls = [ROOT, {"fqn": "m", "inputs": {argument: ports[argument]}, "outputs": {"output": "y"}}]
    model = model_of(
        """
        h = Neg(x)
        y = If (c) <
          then_branch = g1 () => (float[2,3] t) { t = Exp(h) },
          else_branch = g2 () => (float[2,3] e) { e = Tanh(h) }
        >
        """,
        inputs="float[2,3] x, bool c",
    )
    call = judged(model, context_by_hand(calls, origins={"h": [0], "y": [1]}))
    assert used(call) == [argument]
    assert implicit(call) == [f"implicit.{name}" for name in ports if name != argument]


def dynamic_model(shape: str, z: str = "float[batch,5] z") -> ir.Model:
    return ir.from_onnx_text(
        f"""
        <ir_version: 10, opset_import: ["": 20]>
        main (float[batch,3] x, {z}) => (float[batch,3] y)
        <int64[1] width = {{3}}, float[3] w = {{1.0, 2.0, 3.0}}>
        {{
          h = Neg(x)
          n = {shape}
          size = Concat<axis = 0>(n, width)
          rows = Expand(w, size)
          y = Mul(h, rows)
        }}
        """
    )


DYNAMIC_CALLS = [
    {"fqn": "", "inputs": {"x": ("x", ["batch", 3]), "z": ("z", ["batch", 5])}, "outputs": {"output": "y"}},
    {"fqn": "m", "inputs": {"hidden": ("h", ["batch", 3])}, "outputs": {"output": ("y", ["batch", 3])}},
]
DYNAMIC_ORIGINS = {"h": [0], "n": [0], "size": [0], "rows": [1], "y": [1]}


def test_a_size_that_an_argument_has_too_is_closed(context_by_hand: ContextByHand) -> None:
    context = context_by_hand(DYNAMIC_CALLS, origins=DYNAMIC_ORIGINS, parameters={"w": None, "width": None})
    call = judged(dynamic_model("Shape<start = 0, end = 1>(z)"), context)
    assert implicit(call) == []
    assert used(call) == ["hidden"]


def test_a_fixed_size_is_closed(context_by_hand: ContextByHand) -> None:
    context = context_by_hand(DYNAMIC_CALLS, origins=DYNAMIC_ORIGINS, parameters={"w": None, "width": None})
    call = judged(dynamic_model("Shape<start = 1, end = 2>(z)"), context)
    assert implicit(call) == []


def test_a_size_that_no_argument_has_is_not(context_by_hand: ContextByHand) -> None:
    context = context_by_hand(DYNAMIC_CALLS, origins=DYNAMIC_ORIGINS, parameters={"w": None, "width": None})
    call = judged(dynamic_model("Shape<start = 0, end = 1>(z)", z="float[other,5] z"), context)
    assert len(implicit(call)) == 1


def test_an_argument_may_be_used_for_its_size_alone(context_by_hand: ContextByHand) -> None:
    calls = [
        DYNAMIC_CALLS[0],
        {"fqn": "m", "inputs": {"ids": ("x", ["batch", 3])}, "outputs": {"output": ("rows", ["batch", 3])}},
    ]
    context = context_by_hand(calls, origins=DYNAMIC_ORIGINS, parameters={"w": None, "width": None})
    call = judged(dynamic_model("Shape<start = 0, end = 1>(z)"), context)
    assert used(call) == ["ids"]
    assert implicit(call) == []


def test_recovered_nodes_stand_for_the_graphs_own(context_by_hand: ContextByHand) -> None:
    """The value `lost` is in the graph no more; the call's own node reads it again through a recovered one."""
    recovered = RecoveredNode(inputs=["lost"], outputs=["h"], proto="", dtypes=["FLOAT"], shapes=[[2, 3]])
    calls = [ROOT, {"fqn": "m", "inputs": {"input": "lost"}, "outputs": {"output": "y"}, "recovered": [0]}]
    context = context_by_hand(calls, origins={"h": [0], "y": [1]}, recovered=[recovered])
    call = judged(model_of("h = Neg(x)  y = Relu(h)"), context)
    assert call.status == "extractable"
    assert used(call) == ["input"]
    assert implicit(call) == []


# The record as a whole


def test_the_sidecar_describes_the_model(context_by_hand: ContextByHand) -> None:
    model = model_of("y = Relu(x)", inputs="float[2,3] x, int64[batch,seq] ids")
    example = Example(shape=[2, 3], data="eA==")
    context = context_by_hand([ROOT], origins={"y": [0]}, examples={"x": example})
    info = project(model, context, file="m.onnx").model
    assert info.file == "m.onnx"
    assert (info.ir_version, info.opset_imports) == (10, {"": 20})
    assert [(t.name, t.dtype, t.shape) for t in info.inputs] == [
        ("x", "FLOAT", [2, 3]),
        ("ids", "INT64", ["batch", "seq"]),
    ]
    assert [t.name for t in info.outputs] == ["y"]
    assert info.inputs[0].example == example
    assert info.inputs[1].example is None
    assert info.graph_digest == graph_digest(model)


def test_project_leaves_the_model_alone(context_by_hand: ContextByHand) -> None:
    model = dynamic_model("Shape<start = 0, end = 1>(z)")
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    context = context_by_hand(DYNAMIC_CALLS, origins=DYNAMIC_ORIGINS, parameters={"w": None, "width": None})
    project(model, context, file="m.onnx")
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_equal_models_give_equal_sidecars(context_by_hand: ContextByHand) -> None:
    context = context_by_hand(DYNAMIC_CALLS, origins=DYNAMIC_ORIGINS, parameters={"w": None, "width": None})
    first, second = (
        project(dynamic_model("Shape<start = 0, end = 1>(z)"), context, file="m.onnx").to_json() for _ in range(2)
    )
    assert first == second


def test_a_long_chain_needs_no_recursion(context_by_hand: ContextByHand) -> None:
    count = 3000
    lines = ["v0 = Neg(x)", *(f"v{i} = Neg(v{i - 1})" for i in range(1, count)), f"y = Relu(v{count - 1})"]
    calls = [ROOT, {"fqn": "m", "inputs": {"input": "x"}, "outputs": {"output": "y"}}]
    call = judged(model_of("\n".join(lines)), context_by_hand(calls, origins={"y": [1]}))
    assert call.status == "extractable"
    assert used(call) == ["input"]
