"""Nodes and ports found by what they compute, whatever they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from hx_projector import project
from hx_projector.witness.fingerprints import fingerprint
from hx_projector.witness.graph_run import GraphRun
from hx_sidecar_schema import HxError, ModuleContext, Observation, Operation, PortValue, Sidecar

ContextByHand = Callable[..., ModuleContext]
Array = np.ndarray[Any, Any]

X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2.5
SOURCES = ("witness", "dataflow")


def model_of(body: str, weights: str = "", output: str = "y") -> ir.Model:
    return ir.from_onnx_text(
        f"""
        <ir_version: 10, opset_import: ["": 20]>
        main (float[2,3] x) => (float[2,3] {output})
        {f"<{weights}>" if weights else ""}
        {{ {body} }}
        """
    )


def observed(
    context: ModuleContext,
    operations: Sequence[tuple[int | None, Array, Sequence[int]]],
    ports: Mapping[tuple[int, str, str], Array],
    *,
    sized: Mapping[int, Sequence[int]] | None = None,
    repeated: Mapping[int, Sequence[int]] | None = None,
) -> ModuleContext:
    """Add a run: operations with their calls, results and the rows that they read; tensors at ports.

    Calls that asked for the size of a result, or handed it on, by its row.
    """
    observation = Observation(
        operations=[
            Operation(
                call=call,
                name="op",
                reads=list(reads),
                value=fingerprint(value),
                sized=list((sized or {}).get(row, ())),
                repeated=list((repeated or {}).get(row, ())),
            )
            for row, (call, value, reads) in enumerate(operations)
        ],
        ports=[
            PortValue(call=call, side=side, port=port, value=fingerprint(value))  # pyright: ignore[reportArgumentType]
            for (call, side, port), value in ports.items()
        ],
    )
    return context.model_copy(update={"observation": observation})


def seen(model: ir.Model, context: ModuleContext) -> Sidecar:
    return project(model, context, file="m.onnx", sources=SOURCES, feeds={"x": X})


def owner(sidecar: Sidecar, output: str) -> tuple[int, str, str]:
    (node,) = [node for node in sidecar.nodes if node.output == output]
    return node.owner, node.evidence, node.confidence


CALLS = [
    {"fqn": "", "inputs": {"x": None}, "outputs": {"output": None}},
    {"fqn": "a", "inputs": {"input": None}, "outputs": {"output": None}},
    {"fqn": "b", "inputs": {"input": None}, "outputs": {"output": None}},
]
A, B = np.exp(X), np.tanh(np.exp(X))
PORTS = {
    (0, "inputs", "x"): X,
    (1, "inputs", "input"): X,
    (1, "outputs", "output"): A,
    (2, "inputs", "input"): A,
    (2, "outputs", "output"): B,
    (0, "outputs", "output"): B,
}


def test_a_node_was_made_by_the_call_that_computed_its_value(context_by_hand: ContextByHand) -> None:
    context = observed(context_by_hand(CALLS), [(1, A, []), (2, B, [0])], PORTS)
    sidecar = seen(model_of("v1 = Exp(x)  y = Tanh(v1)"), context)
    assert owner(sidecar, "v1") == (1, "witness", "high")
    assert owner(sidecar, "y") == (2, "witness", "high")


def test_ports_are_found_by_their_values(context_by_hand: ContextByHand) -> None:
    context = observed(context_by_hand(CALLS), [(1, A, []), (2, B, [0])], PORTS)
    sidecar = seen(model_of("v1 = Exp(x)  y = Tanh(v1)"), context)
    carriers = [(port.value, call.status) for call in sidecar.calls for port in (*call.inputs, *call.outputs)]
    values = ["x", "y", "x", "v1", "v1", "y"]
    assert carriers == [(value, "extractable") for value in values]


def test_weights_of_strings_and_weights_that_are_inputs(context_by_hand: ContextByHand) -> None:
    context = observed(context_by_hand(CALLS), [(1, A, []), (2, B, [0])], PORTS)
    model = model_of('v1 = Exp(x)  k = Mul(v1, one)  y = Tanh(k)  s = Identity("names")', "float one = {1.0}")
    names = ir.Value(name="names", const_value=ir.tensor(["a", "b"], name="names"))
    names.dtype, names.shape = ir.DataType.STRING, ir.Shape([2])
    model.graph[-1].replace_input_with(0, names)
    model.graph.register_initializer(names)
    model.graph.inputs.append(model.graph.initializers["one"])
    sidecar = seen(model, context)
    assert owner(sidecar, "v1") == (1, "witness", "high")
    assert owner(sidecar, "y") == (2, "witness", "high")


def test_several_nodes_for_one_operation_are_its_calls(context_by_hand: ContextByHand) -> None:
    """PyTorch computes in one step what the graph does in three."""
    context = observed(context_by_hand(CALLS), [(1, A, []), (2, B, [0])], PORTS)
    body = "v1 = Exp(x)  e = Exp(v1)  n = Neg(v1)  f = Exp(n)  d = Sub(e, f)  s = Add(e, f)  y = Div(d, s)"
    sidecar = seen(model_of(body), context)
    assert {owner(sidecar, name) for name in ("e", "n", "f", "d", "s", "y")} == {(2, "witness", "high")}


def test_one_node_for_the_operations_of_two_calls_is_their_common_ancestors(context_by_hand: ContextByHand) -> None:
    calls = [CALLS[0], {**CALLS[1], "fqn": "a"}, {**CALLS[2], "fqn": "b"}]
    doubled, shifted = X * 2, X * 2 + 1
    operations = [(1, doubled, []), (2, shifted, [0])]
    ports = {(0, "inputs", "x"): X, (2, "inputs", "input"): doubled, (2, "outputs", "output"): shifted}
    context = observed(context_by_hand(calls), operations, ports)
    weights = "float[3,3] w = {2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0}, float[3] c = {1.0, 1.0, 1.0}"
    sidecar = seen(model_of("y = Gemm(x, w, c)", weights), context)
    assert owner(sidecar, "y") == (0, "witness", "high")
    assert sidecar.calls[2].status == "fused"


TWO = [{"fqn": ""}, {"fqn": "a"}, {"fqn": "b"}]
ONES = np.ones_like(X)


def test_constant_tensors_and_ambiguous_values_decide_nothing_by_themselves(context_by_hand: ContextByHand) -> None:
    context = observed(context_by_hand(TWO), [(1, ONES, []), (1, A, []), (2, A, [])], {})
    sidecar = seen(model_of("z = Sub(x, x)  o = Exp(z)  v1 = Exp(x)  y = Add(v1, o)"), context)
    for name in ("z", "o", "v1", "y"):
        assert owner(sidecar, name)[1:] != ("witness", "high")


def test_of_equal_tensors_a_value_is_the_one_that_its_reader_was_given(context_by_hand: ContextByHand) -> None:
    rows = [(1, ONES, []), (2, ONES, []), (1, A, []), (2, A, []), (0, A + ONES, [1, 2])]
    sidecar = seen(
        model_of("z = Sub(x, x)  o = Exp(z)  v1 = Exp(x)  y = Add(v1, o)"), observed(context_by_hand(TWO), rows, {})
    )
    assert [owner(sidecar, name) for name in ("o", "v1", "y")] == [
        (2, "witness", "high"),
        (1, "witness", "high"),
        (0, "witness", "high"),
    ]


def test_one_value_for_equal_tensors_of_two_calls_is_not_known_for_certain(context_by_hand: ContextByHand) -> None:
    rows = [(1, A, []), (2, A, []), (1, A + ONES, [0]), (2, A * 3, [1]), (0, 4 * A + ONES, [2, 3])]
    model = model_of(
        "v1 = Exp(x)  p = Add(v1, one)  q = Mul(v1, three)  y = Add(p, q)", "float one = {1}, float three = {3}"
    )
    sidecar = seen(model, observed(context_by_hand(TWO), rows, {}))
    assert [owner(sidecar, name) for name in ("p", "q")] == [(1, "witness", "high"), (2, "witness", "high")]
    assert owner(sidecar, "v1")[2] != "high"


def test_literals_and_sizes_are_steps_of_the_operation_that_takes_them(context_by_hand: ContextByHand) -> None:
    turned = A.reshape(3, 2)
    rows = [(None, X, []), (1, A, [0]), (2, turned, [1]), (2, np.tanh(turned), [2])]
    body = """v1 = Exp(x)  s = Shape(v1)  i = Constant<value_int=1>()  n = Gather(s, i)
              axes = Constant<value_ints=[0]>()  n1 = Unsqueeze(n, axes)  rest = Constant<value_ints=[-1]>()
              shape = Concat<axis=0>(n1, rest)  r = Reshape(v1, shape)  t = Tanh(r)  y = Reshape(t, s)"""
    rows.append((0, np.tanh(turned).reshape(2, 3), [3]))
    steps = ("i", "n", "n1", "axes", "rest", "shape")
    by_asker = {
        asker: seen(model_of(body), observed(context_by_hand(TWO), rows, {}, sized={1: [asker]})) for asker in (2, 1)
    }
    assert {owner(by_asker[2], name) for name in steps} == {(2, "witness", "high")}
    # The number may have been asked for in one call and handed to another; the list of it is the operation's.
    certain = [name for name in steps if owner(by_asker[1], name)[2] == "high"]
    assert certain == ["n1", "axes", "rest", "shape"]
    assert owner(by_asker[2], "s")[2] != "high", "two calls use it"


def test_tables_that_an_operation_was_not_given_are_not_its_steps_for_certain(context_by_hand: ContextByHand) -> None:
    """PyTorch leaves masks out that exporters write out, in the module that makes them."""
    rows = [(1, A, []), (2, B, [0])]
    body = "v1 = Exp(x)  m = Add(table, table)  h = Add(v1, m)  y = Tanh(h)"
    weights = "float[2,3] table = {0, 0, 0, 0, 0, 0}"
    sidecar = seen(model_of(body, weights), observed(context_by_hand(TWO), rows, {}))
    assert owner(sidecar, "y") == (2, "witness", "high")
    assert owner(sidecar, "m")[2] != "high"


def test_tables_made_of_what_an_operation_was_given_are_its_steps(context_by_hand: ContextByHand) -> None:
    """As the gates of an LSTM's weights are put into another order."""
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    rows = [(1, A, []), (None, weight, []), (2, np.tanh(A + weight[::-1]), [0, 1])]
    body = """v1 = Exp(x)  s, t = Split<axis=0, num_outputs=2>(weight)  w = Concat<axis=0>(t, s)
              h = Add(v1, w)  y = Tanh(h)"""
    weights = "float[2,3] weight = {0, 1, 2, 3, 4, 5}"
    sidecar = seen(model_of(body, weights), observed(context_by_hand(TWO), rows, {}))
    assert {owner(sidecar, name) for name in ("s", "w", "h", "y")} == {(2, "witness", "high")}


def test_a_table_of_the_size_of_a_step_is_a_step_of_the_same_operation(context_by_hand: ContextByHand) -> None:
    """As the first state of a recurrent layer; nobody else knows of that tensor."""
    rows = [(1, A, []), (2, np.tanh(-A), [0])]
    body = "v1 = Exp(x)  n = Neg(v1)  s = Shape(n)  t = Expand(zero, s)  h = Add(n, t)  y = Tanh(h)"
    context = observed(context_by_hand(TWO), rows, {}, sized={0: [1]})
    sidecar = seen(model_of(body, "float zero = {0}"), context)
    assert {owner(sidecar, name) for name in ("n", "s", "t", "h", "y")} == {(2, "witness", "high")}


def test_steps_that_read_what_their_operation_was_not_given_are_not_certain(context_by_hand: ContextByHand) -> None:
    other = np.sin(X)
    rows = [(1, A, []), (1, other, []), (2, np.tanh(A * other), [0])]
    body = "v1 = Exp(x)  v2 = Sin(x)  k = Mul(v1, v2)  y = Tanh(k)"
    sidecar = seen(model_of(body), observed(context_by_hand(TWO), rows, {}))
    assert owner(sidecar, "y") == (2, "witness", "high")
    assert owner(sidecar, "k") == (2, "witness", "medium")


@pytest.mark.parametrize(("repeated", "known"), [([1], 1), ([2], 2), ([], None), ([1, 1], None), ([1, 2], None)])
def test_what_several_calls_read_was_handed_on_by_the_one_that_did_so(
    context_by_hand: ContextByHand, repeated: list[int], known: int | None
) -> None:
    """As often as the graph does it, and nobody else: otherwise it may be a step of what made or reads the value."""
    rows = [(0, A, []), (1, B, [0]), (0, A + B, [0, 1])]
    context = observed(context_by_hand(TWO), rows, {}, repeated={0: repeated})
    sidecar = seen(model_of("v1 = Exp(x)  c = Cast<to=1>(v1)  t = Tanh(c)  y = Add(c, t)"), context)
    assert owner(sidecar, "t") == (1, "witness", "high")
    made, _, confidence = owner(sidecar, "c")
    assert (made if confidence == "high" else None) == known


def test_an_operand_that_changes_nothing_makes_no_node_of_the_tensor_s_maker(context_by_hand: ContextByHand) -> None:
    """A mask that masks nothing: PyTorch ran an operation, which handed its argument on."""
    rows = [(1, A, []), (2, B, [0])]
    model = model_of("v1 = Exp(x)  m = Mul(v1, ones)  y = Tanh(m)", "float[2,3] ones = {1, 1, 1, 1, 1, 1}")
    sidecar = seen(model, observed(context_by_hand(CALLS), rows, PORTS, repeated={0: [0]}))
    assert owner(sidecar, "v1") == (1, "witness", "high")
    assert owner(sidecar, "m")[2] != "high"


def test_a_tensor_turned_and_turned_back_may_be_the_one_before_or_after(context_by_hand: ContextByHand) -> None:
    turned = np.ascontiguousarray(A.T)
    rows = [(1, A, []), (0, turned, [0]), (2, A, [1]), (2, B, [2])]
    context = observed(context_by_hand(TWO), rows, {})
    cancelled = seen(model_of("v1 = Exp(x)  y = Tanh(v1)"), context)
    assert owner(cancelled, "v1")[2] != "high"
    kept = seen(model_of("v1 = Exp(x)  t = Transpose(v1)  u = Transpose(t)  y = Tanh(u)"), context)
    assert [owner(kept, name) for name in ("v1", "t", "u")] == [
        (1, "witness", "high"),
        (0, "witness", "high"),
        (2, "witness", "high"),
    ]


def test_a_literal_may_be_equal_to_a_tensor_by_chance(context_by_hand: ContextByHand) -> None:
    half = np.full((1,), 0.5, dtype=np.float32)
    rows = [(1, half, []), (1, A, []), (2, A + 0.5 * half, [0, 1])]
    body = """k = Constant<value_floats=[0.5]>()  l = Constant<value_floats=[0.5]>()
              v1 = Exp(x)  p = Mul(k, l)  y = Add(v1, p)"""
    sidecar = seen(model_of(body), observed(context_by_hand(TWO), rows, {}))
    assert owner(sidecar, "p") == (2, "witness", "high")
    assert {owner(sidecar, name)[2] for name in ("k", "l")} == {"medium"}


def test_numbers_that_stand_for_infinity_hide_no_others(context_by_hand: ContextByHand) -> None:
    low = np.finfo(np.float32).min
    masked = np.where(X > 0, X, low)
    rows = [(1, masked, []), (2, np.where(X > 0, X + 1, low), [0])]
    body = "m = Where(p, x, low)  h = Add(x, one)  y = Where(p, h, low)"
    weights = f"bool[2,3] p = {{0, 0, 0, 1, 1, 1}}, float low = {{{low}}}, float one = {{1}}"
    sidecar = seen(model_of(body, weights), observed(context_by_hand(TWO), rows, {}))
    assert owner(sidecar, "y") == (2, "witness", "high")


def test_what_only_repeats_its_argument_is_not_known_for_certain(context_by_hand: ContextByHand) -> None:
    context = observed(context_by_hand(CALLS), [(1, A, []), (2, B, [0])], PORTS)
    sidecar = seen(model_of("v1 = Exp(x)  i = Identity(v1)  y = Tanh(i)"), context)
    assert owner(sidecar, "i")[2] != "high"
    assert owner(sidecar, "y") == (2, "witness", "high")


def test_of_two_nearly_equal_tensors_a_value_is_the_nearer_one(context_by_hand: ContextByHand) -> None:
    """As a fresh normalisation layer changes what it is given by five millionths."""
    near = A * np.float32(1 - 5e-6)
    context = observed(context_by_hand(CALLS), [(1, A, []), (2, near, [0])], {})
    sidecar = seen(model_of("y = Exp(x)"), context)
    assert owner(sidecar, "y") == (1, "witness", "high")
    sidecar = seen(model_of("e = Exp(x)  y = Mul(e, c)", "float c = {0.999995}"), context)
    assert owner(sidecar, "y") == (2, "witness", "high")


def test_disagreement_with_the_exporter_is_listed(context_by_hand: ContextByHand) -> None:
    context = observed(context_by_hand(CALLS, origins={"v1": [2]}), [(1, A, []), (2, B, [0])], PORTS)
    sources = ("exporter", "witness", "dataflow")
    model = model_of("v1 = Exp(x)  y = Tanh(v1)")
    sidecar = project(model, context, file="m.onnx", sources=sources, feeds={"x": X})
    assert owner(sidecar, "v1") == (2, "exporter", "high")
    assert [(row.output, row.owner, row.other) for row in sidecar.disagreements] == [("v1", 2, 1)]


def test_a_model_that_cannot_run_is_named(context_by_hand: ContextByHand) -> None:
    context = observed(context_by_hand(CALLS), [(1, A, [])], PORTS)
    with pytest.raises(HxError, match="cannot run the model") as caught:
        seen(model_of("v1 = Unheard(x)  y = Tanh(v1)"), context)
    assert caught.value.code == "HX121"


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.bool_, np.float64])
def test_values_know_a_tensor_again_in_its_own_type(dtype: Any) -> None:
    model = model_of("y = Relu(x)")
    run = GraphRun(model, {"x": X})
    wanted = fingerprint(np.maximum(X, 0).astype(dtype))
    same_kind = np.issubdtype(dtype, np.floating)
    assert run.equal_to(wanted) == (["y"] if same_kind else [])
    assert run.equal_to(fingerprint(np.maximum(X, 0).T)) == []


def test_min_confidence_leaves_what_is_less_sure_to_the_root(context_by_hand: ContextByHand) -> None:
    context = context_by_hand([{"fqn": ""}, {"fqn": "a"}], origins={"h": [1]}, parameters={"w": "a.weight"})
    model = model_of("k = Neg(w)  h = Mul(x, k)  y = Relu(h)", "float[3] w = {1.0, 2.0, 3.0}")
    surely = {level: project(model, context, file="m.onnx", min_confidence=level) for level in LEVELS}
    assert [sidecar.summary.covered_percent for sidecar in surely.values()] == [100.0, 66.67, 33.33]
    assert {sidecar.summary.exact_percent for sidecar in surely.values()} == {33.33}
    assert owner(surely["high"], "k") == (0, "dataflow", "low")


LEVELS: tuple[Any, ...] = ("low", "medium", "high")
