"""Owners carried to a graph that something made of another."""

from __future__ import annotations

import re

import onnx_ir as ir
import pytest
from hypothesis import given, strategies as st

from hx_projector import project, relink
from hx_sidecar_schema import HxError, Node, Sidecar

CALLS = [
    {"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": "y"}},
    {"fqn": "first", "inputs": {"input": "x"}, "outputs": {"output": "b"}},
    {"fqn": "second", "inputs": {"input": "b"}, "outputs": {"output": "d"}},
]
ORIGINS = {"a": [1], "b": [1], "c": [2], "d": [2], "y": [0]}
HEAD = '<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]>\nmodel (float[2,3] x) => (float[2,3] y) '
ORIGINAL = (
    HEAD
    + """<float[3,3] w = {1,2,3,4,5,6,7,8,9}, float[3] zero = {0,0,0}, float[3] zero_1 = {0,0,0}, float[2,3] b> {
  a = MatMul(x, w)
  b = Add(a, zero)
  c = Tanh(b)
  d = Add(c, zero_1)
  y = Add(x, d)
}"""
)


@pytest.fixture
def relinked(context_by_hand):
    """Return the nodes of a graph that was made of ORIGINAL, by their first outputs."""

    def relinked(body: str, weights: str = "float[3,3] w = {1,2,3,4,5,6,7,8,9}, float[3] zero = {0,0,0}"):
        original = ir.from_onnx_text(ORIGINAL)
        sidecar = project(original, context_by_hand(CALLS, origins=ORIGINS), file="m.onnx")
        made = ir.from_onnx_text(f"{HEAD}<{weights}> {{{body}}}")
        return relink(made, original, sidecar, file="made.onnx")

    return relinked


def _nodes(sidecar: Sidecar) -> dict[str, Node]:
    return {node.output: node for node in sidecar.nodes}


def _facts(node: Node) -> tuple[int, str, list[str], list[int]]:
    assert node.evidence == "lineage"
    return node.owner, node.confidence, node.originals, node.covers


SAME = "a = MatMul(x, w)  b = Add(a, zero)  c = Tanh(b)"


def test_an_unchanged_graph_keeps_its_owners(relinked, context_by_hand):
    sidecar = relinked(f"{SAME} d = Add(c, zero) y = Add(x, d)")
    assert {name: (node.owner, node.originals) for name, node in _nodes(sidecar).items()} == {
        name: (rows[0], [name]) for name, rows in ORIGINS.items()
    }
    assert sidecar.summary.exact_percent == 100
    assert [call.status for call in sidecar.calls] == ["extractable"] * 3


def test_a_weight_alone_decides_nothing(relinked):
    """The zeros of the second module were merged with those of the first."""
    nodes = _nodes(relinked(f"{SAME} d = Add(c, zero) y = Add(x, d)"))
    assert nodes["d"].owner == 2


def test_a_fused_node_within_one_call_belongs_to_it(relinked):
    nodes = _nodes(relinked("b = com.microsoft.Gemmish(x, w, zero) c = Tanh(b) d = Add(c, zero) y = Add(x, d)"))
    assert _facts(nodes["b"]) == (1, "high", ["a", "b"], [])


def test_a_fused_node_that_spans_calls_says_so(relinked):
    sidecar = relinked("a = MatMul(x, w) c = com.microsoft.AddTanh(a, zero) d = Add(c, zero) y = Add(x, d)")
    assert _facts(_nodes(sidecar)["c"]) == (0, "high", ["b", "c"], [1, 2])
    first = sidecar.calls[1]
    assert (first.status, first.outputs[0].value) == ("fused", None)
    assert first.reason == ("The transformation merged it with '/Net/Second': 'output' is in the graph no more.")


def test_renamed_values_are_found_between_fixed_points(relinked):
    nodes = _nodes(relinked("v1 = MatMul(x, w) v2 = Add(v1, zero) c = Tanh(v2) d = Add(c, zero) y = Add(x, d)"))
    assert _facts(nodes["v1"]) == (1, "high", ["a"], [])
    assert _facts(nodes["v2"]) == (1, "high", ["b"], [])


@pytest.mark.parametrize("used", ["w, b", "other_w, other_b"])
def test_an_operation_of_the_same_kind_before_a_product_is_not_the_one_behind_it(context_by_hand, used):
    head = '<ir_version: 10, opset_import: ["": 20]> m (float[2,3] x) => (float[2,3] y) '
    weights = "float[3,3] w = {1,2,3,4,5,6,7,8,9}, float[3] b = {1,2,3}"
    new_weights = weights.replace(" w ", f" {used.split(', ')[0]} ").replace(" b ", f" {used.split(', ')[1]} ")
    original = ir.from_onnx_text(
        f"{head}<{weights}, int64[1] s = {{6}}, int64[2] back = {{2,3}}>"
        "{ a = MatMul(x, w)  c = Add(a, b)  d = Reshape(c, s)  e = Tanh(d)  y = Reshape(e, back) }"
    )
    calls = [{"fqn": "", "outputs": {"output": "y"}}, {"fqn": "lin"}, {"fqn": "view"}]
    origins = {"a": [1], "c": [1], "d": [2], "e": [0], "y": [0]}
    sidecar = project(original, context_by_hand(calls, origins=origins), file="m.onnx")
    made = ir.from_onnx_text(
        f"{head}<{new_weights}, int64[2] flat = {{-1,3}}, int64[2] back = {{2,3}}>"
        f"{{ v1 = Reshape(x, flat)  v2 = Gemm(v1, {used})  e = Tanh(v2)  y = Reshape(e, back) }}"
    )
    nodes = _nodes(relink(made, original, sidecar, file="made.onnx"))
    assert [nodes[name].confidence for name in ("v1", "v2")] == ["medium", "medium"]
    assert nodes["v2"].covers == [1, 2]


def test_several_new_nodes_that_span_calls_are_not_told_apart(relinked):
    nodes = _nodes(relinked("v1 = Exp(x) v2 = Sin(v1) d = Cos(v2) y = Add(x, d)"))
    for name in ("v1", "v2", "d"):
        assert _facts(nodes[name]) == (0, "medium", ["a", "b", "c", "d"], [1, 2])


def test_a_copy_in_another_form_belongs_to_who_made_the_value(relinked):
    nodes = _nodes(
        relinked(
            "a = MatMul(x, w)  b = Add(a, zero) q = QuantizeLinear(b, s) b_dequantized = DequantizeLinear(q, s)"
            "c = Tanh(b_dequantized) h = Cast<to=10>(c) f = Cast<to=1>(h) d = Add(f, zero) y = Add(x, d)",
            "float[3,3] w = {1,2,3,4,5,6,7,8,9}, float[3] zero = {0,0,0}, float s = {1}",
        )
    )
    assert _facts(nodes["q"]) == (1, "high", [], [])
    assert _facts(nodes["b_dequantized"]) == (1, "high", [], [])
    assert _facts(nodes["h"]) == _facts(nodes["f"]) == (2, "high", [], [])
    assert _facts(nodes["c"]) == (2, "high", ["c"], [])


def test_a_copy_of_an_input_or_weight_belongs_to_who_reads_it(relinked):
    nodes = _nodes(
        relinked(
            "w_d = DequantizeLinear(w_quantized, s) h = Cast<to=10>(x) x_f = Cast<to=1>(h)"
            "a = MatMul(x_f, w_d) b = Add(a, zero) c = Tanh(b) d = Add(c, zero) y = Add(x, d)",
            "int8[3,3] w_quantized = {1,2,3,4,5,6,7,8,9}, float[3] zero = {0,0,0}, float s = {1}",
        )
    )
    assert [nodes[name].owner for name in ("w_d", "h", "x_f", "a")] == [1, 1, 1, 1]


def test_a_value_with_its_old_name_and_another_shape_is_no_port(relinked):
    sidecar = relinked(
        "a = MatMul(x, w) b2 = Add(a, zero) b = Reshape(b2, six) t = Tanh(b) c = Reshape(t, back)"
        "d = Add(c, zero) y = Add(x, d)",
        "float[3,3] w = {1,2,3,4,5,6,7,8,9}, float[3] zero = {0,0,0}, int64[1] six = {6}, int64[2] back = {2,3}, float[6] b",
    )
    assert [node.owner for node in sidecar.nodes if node.output in ("b2", "t")] == [1, 2]
    assert [call.status for call in sidecar.calls] == ["extractable", "fused", "fused"]


RESIDUAL_HEAD = '<ir_version: 10, opset_import: ["": 20, "ms": 1]>\nm (float[2,3] x) => (float[2,3] y) '
RESIDUAL = (
    RESIDUAL_HEAD
    + """<float[3,3] w = {1,2,3,4,5,6,7,8,9}, float[2,3] d, float[2,3] e> {
  a = MatMul(x, w)
  s = Exp(x)
  d = Add(a, s)
  e = Relu(d)
  p = Sin(e)
  q = Cos(e)
  y = Sub(p, q)
}"""
)
RESIDUAL_CALLS = [{"fqn": "", "outputs": {"output": "y"}}, {"fqn": "one"}, {"fqn": "two"}, {"fqn": "act"}]
RESIDUAL_ORIGINS = {"a": [1], "s": [2], "d": [0], "e": [3], "p": [0], "q": [0], "y": [0]}


@pytest.mark.parametrize(
    ("kind", "name"), [("MatMul", "a_nchwc"), ("Other", "a_nchwc"), ("QLinearMatMul", "node_a_token_4")]
)
def test_a_node_named_after_one_operation_may_have_taken_in_the_next(context_by_hand, kind, name):
    """As convolutions of ONNX Runtime do, which add what they are given and have an activation inside."""
    original = ir.from_onnx_text(RESIDUAL)
    for node in original.graph:
        node.name = f"node_{node.outputs[0].name}"
    sidecar = project(original, context_by_hand(RESIDUAL_CALLS, origins=RESIDUAL_ORIGINS), file="m.onnx")
    made = ir.from_onnx_text(
        f"{RESIDUAL_HEAD}<float[3,3] other = {{1,2,3,4,5,6,7,8,9}}> {{ s = Exp(x)  v = ms.{kind}(x, other, s)"
        "p = Sin(v)  q = Cos(v)  y = Sub(p, q) }"
    )
    (fused,) = (node for node in made.graph if node.domain == "ms")
    fused.name = name
    nodes = _nodes(relink(made, original, sidecar, file="made.onnx"))
    assert _facts(nodes["v"]) == (0, "high", ["a", "d", "e"], [0, 1, 3])
    assert _facts(nodes["p"]) == (0, "high", ["p"], [])
    assert _facts(nodes["q"]) == (0, "high", ["q"], [])


def test_quantising_that_clips_is_the_activation(context_by_hand):
    original = ir.from_onnx_text(RESIDUAL)
    sidecar = project(original, context_by_hand(RESIDUAL_CALLS, origins=RESIDUAL_ORIGINS), file="m.onnx")
    made = ir.from_onnx_text(
        f"{RESIDUAL_HEAD}<float[3,3] w = {{1,2,3,4,5,6,7,8,9}}, float scale = {{1}}> {{ a = MatMul(x, w)  s = Exp(x)"
        "e_in = Add(a, s)  e_q = QuantizeLinear(e_in, scale)  e = DequantizeLinear(e_q, scale)"
        "p = Sin(e)  q = Cos(e)  y = Sub(p, q) }"
    )
    nodes = _nodes(relink(made, original, sidecar, file="made.onnx"))
    assert _facts(nodes["e_in"]) == (0, "high", ["d"], [])
    assert _facts(nodes["e_q"]) == (3, "high", ["e"], [])
    assert _facts(nodes["e"]) == (3, "high", [], [])


def test_a_reader_that_does_the_same_operation_stands_for_it(context_by_hand):
    """The value before it is not moved past it."""
    original = ir.from_onnx_text(RESIDUAL)
    sidecar = project(original, context_by_hand(RESIDUAL_CALLS, origins=RESIDUAL_ORIGINS), file="m.onnx")
    made = ir.from_onnx_text(
        f"{RESIDUAL_HEAD}<float[3,3] w = {{1,2,3,4,5,6,7,8,9}}> {{ a = MatMul(x, w)  s = Exp(x)  d_new = Add(a, s)"
        "v = Relu(d_new)  p = Sin(v)  q = Cos(v)  y = Sub(p, q) }"
    )
    nodes = _nodes(relink(made, original, sidecar, file="made.onnx"))
    assert _facts(nodes["d_new"]) == (0, "high", ["d"], [])
    assert _facts(nodes["v"]) == (3, "high", ["e"], [])


def test_nodes_may_stand_in_any_order(relinked):
    """Quantisation tools append."""
    nodes = _nodes(relinked("y = Add(x, d) d = Add(c, zero) c = Tanh(b) b = Add(a, zero) a = MatMul(x, w)"))
    assert {name: node.owner for name, node in nodes.items()} == {name: rows[0] for name, rows in ORIGINS.items()}


def test_nodes_of_bodies_keep_their_owners_in_place_and_moved_out(context_by_hand):
    head = '<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]> m (float[2,3] x, bool c) => (float[2,3] y) '
    text = (
        head
        + """{ h = Neg(x)  y = If (c) <
          then_branch = yes () => (float[2,3] t) { t1 = Exp(h)  t = Sin(t1) },
          else_branch = no () => (float[2,3] e) { e = Cos(h) }
        > }"""
    )
    calls = [{"fqn": "", "outputs": {"output": "y"}}, {"fqn": "a"}, {"fqn": "b"}, {"fqn": "c"}]
    original = ir.from_onnx_text(text)
    origins = {"h": [1], "y": [0], "t1": [2], "t": [3], "e": [2]}
    sidecar = project(original, context_by_hand(calls, origins=origins), file="m.onnx")
    same = relink(ir.from_onnx_text(text.replace("Cos", "Sin")), original, sidecar, file="made.onnx")
    assert [(n.output, n.owner, n.confidence) for n in same.nodes] == [
        ("h", 1, "high"),
        ("y", 0, "high"),
        ("t1", 2, "high"),
        ("t", 3, "high"),
        ("e", 2, "high"),  # another operation makes the same value
    ]
    fused = relink(
        ir.from_onnx_text(text.replace("t1 = Exp(h)  t = Sin(t1)", "t = com.microsoft.ExpSin(h)")),
        original,
        sidecar,
        file="made.onnx",
    )
    (both,) = [node for node in fused.nodes if node.output == "t"]
    assert _facts(both) == (0, "high", [f"{both.graph}:t1", f"{both.graph}:t"], [2, 3])
    moved = ir.from_onnx_text(head + "{ h = Neg(x)  t1 = Exp(h)  t = Sin(t1)  y = Identity(t) }")
    nodes = _nodes(relink(moved, original, sidecar, file="made.onnx"))
    assert {name: nodes[name].owner for name in ("h", "t1", "t")} == {"h": 1, "t1": 2, "t": 3}


def test_an_owner_is_never_surer_than_it_was(context_by_hand):
    original = ir.from_onnx_text(ORIGINAL)
    origins = {name: rows for name, rows in ORIGINS.items() if name != "c"}
    sidecar = project(original, context_by_hand(CALLS, origins=origins), file="m.onnx")
    nodes = _nodes(relink(ir.from_onnx_text(ORIGINAL), original, sidecar, file="made.onnx"))
    before = {node.output: (node.owner, node.confidence) for node in sidecar.nodes}
    assert before["c"][1] != "high"
    assert {name: (node.owner, node.confidence) for name, node in nodes.items()} == before


def test_what_nothing_is_known_of_stays_unknown(context_by_hand):
    """And what dataflow gives to the root, with the same low confidence, stays known."""
    head = """<ir_version: 10, opset_import: ["": 20]> m (float[2,3] x) => (float[2,3] y, float[2,3] z)
      <float[2,3] w = {1,2,3,4,5,6}> """
    original = ir.from_onnx_text(head + "{ a = Exp(x)  b = Mul(a, w)  y = Neg(b)  z = Range(w, w, w) }")
    sidecar = project(
        original, context_by_hand(CALLS, origins={"b": [1]}), file="m.onnx", sources=("exporter", "dataflow")
    )
    made = ir.from_onnx_text(head + "{ a = Exp(x)  b = Mul(a, w)  c = Identity(b)  y = Neg(c)  z = Range(w, w, w) }")
    again = relink(made, original, sidecar, file="made.onnx")
    for found in (sidecar, again):
        known = {node.output: (node.owner, node.confidence, node.known) for node in found.nodes}
        assert (known["a"], known["y"], known["z"]) == ((0, "low", True), (0, "low", True), (0, "low", False))
    assert again.summary.covered_percent == 80


@pytest.mark.parametrize(
    "text",
    [
        "<ir_version: 10, opset_import: ['': 20]> m (float[2,3] x) => (float[2,3] u, float[2,3] z) "
        "{ u = Tanh(x) z = Exp(x) }",
        "<ir_version: 10, opset_import: ['': 20]> m (float[2,3] other) => (float[2,3] z) { z = Tanh(other) }",
        "<ir_version: 10, opset_import: ['': 20]> m (float[2,3,4] x) => (float[2,3,4] y) { y = Tanh(x) }",
        "<ir_version: 10, opset_import: ['': 20]> m (float[2,3] x) => (float[2,3] y) <float[3,3] w = {1,2,3,4,5,6,7,8,9}, "
        "float[3] zero = {0,0,0}, float[3] zero_1 = {0,0,0}> { a = MatMul(x, w)  b = Add(a, zero_1)  d = Add(b, zero)  y = Add(x, d) }",
    ],
)
def test_a_model_that_was_not_made_of_it_is_refused(context_by_hand, text):
    original = ir.from_onnx_text(ORIGINAL)
    sidecar = project(original, context_by_hand(CALLS, origins=ORIGINS), file="m.onnx")
    with pytest.raises(HxError, match=r"'other\.onnx' was not made of 'm\.onnx'") as error:
        relink(ir.from_onnx_text(text.replace("'", '"')), original, sidecar, file="other.onnx")
    assert error.value.code == "HX211"


@pytest.mark.parametrize(
    ("inputs", "inner", "outputs", "more", "prefix"),
    [
        ("float[2,3] x, float[1] t", "float[2,3] b", "float[2,3] y, float[2,3] u", "u = Div(y, t)", ""),
        ("float[2,3] x", "float[2,3] b", "float[2,3] u", "u = Softmax(y)", ""),
        ("float[2,3] x", "float[2,3] b", "float[2,3] c", "", ""),
        ("float[7,3] x", "float[7,3] b", "float[7,3] y", "", ""),
        ("float[2,1,1,3] x", "float[2,1,1,3] b", "float[2,1,1,3] y", "", ""),
        ("float[2,3] x", "float[2,3] b", "float[2,3] y", "", "net_"),
    ],
    ids=["more of both", "behind the output", "an inner value instead", "other sizes", "another rank", "other names"],
)
def test_what_is_done_to_the_ends_of_a_model_makes_no_stranger_of_it(
    context_by_hand, inputs, inner, outputs, more, prefix
):
    original = ir.from_onnx_text(ORIGINAL)
    sidecar = project(original, context_by_hand(CALLS, origins=ORIGINS), file="m.onnx")
    weights, _, body = ORIGINAL[ORIGINAL.index("<float[3,3]") + 1 :].partition(", float[2,3] b> {")
    text = f"({inputs}) => ({outputs}) <{weights}, {inner}> {{ {body[:-1]} {more} }}"
    text = re.sub(r"\b([a-dxyw]|zero|zero_1)\b", rf"{prefix}\1", text)
    made = relink(ir.from_onnx_text(HEAD[: HEAD.index("(")] + text), original, sidecar, file="made.onnx")
    owners = {node.output.removeprefix(prefix): [node.owner] for node in made.nodes if node.output != "u"}
    assert owners == ORIGINS
    assert [node.known for node in made.nodes if node.output == "u"] == [False] * bool(more)
    (port,) = made.calls[1].outputs
    same_rank = inner.count(",") == 1
    assert port.value == (f"{prefix}b" if same_rank else None)
    assert not same_rank or port.shape == list(map(int, re.findall(r"\d", inner)))


@st.composite
def chains(draw):
    """A row of modules with a few operations each, a subset of whose values is renamed and copied."""
    lengths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    kinds = draw(st.lists(st.sampled_from(["Tanh", "Exp", "Sin"]), min_size=sum(lengths), max_size=sum(lengths)))
    copied = draw(st.lists(st.sampled_from(["", "Identity", "Cast"]), min_size=sum(lengths), max_size=sum(lengths)))
    renamed = draw(
        st.lists(st.sampled_from(["{}", "{}_suffixed", "Prefixed_{}"]), min_size=sum(lengths), max_size=sum(lengths))
    )
    return lengths, kinds, copied, renamed


@given(chains())
def test_copies_and_other_names_change_no_owner(context_by_hand, chain):
    lengths, kinds, copied, renamed = chain
    modules = [row for row, length in enumerate(lengths, start=1) for _ in range(length)]
    ends = [sum(lengths[: row + 1]) for row in range(len(lengths))]
    last = len(kinds) - 1
    calls = [{"fqn": "", "inputs": {"x": "x"}, "outputs": {"output": f"v{last}"}}] + [
        {
            "fqn": f"m{row}",
            "inputs": {"input": f"v{end - length - 1}" if end > length else "x"},
            "outputs": {"output": f"v{end - 1}"},
        }
        for row, (length, end) in enumerate(zip(lengths, ends, strict=True))
    ]
    old, new, reads = [], [], "x"
    for index, kind in enumerate(kinds):
        old.append(f"v{index} = {kind}({f'v{index - 1}' if index else 'x'})")
        made = renamed[index].format(f"v{index}") if index != last else f"v{index}"
        new.append(f"{made} = {kind}({reads})")
        reads = made
        if copied[index] and index != last:
            attribute = "<to=1>" if copied[index] == "Cast" else ""
            new.append(f"copy{index} = {copied[index]} {attribute} ({made})")
            reads = f"copy{index}"
    head = f'<ir_version: 10, opset_import: ["": 20]> m (float[2] x) => (float[2] v{last}) '
    original = ir.from_onnx_text(f"{head}{{ {' '.join(old)} }}")
    transformed = ir.from_onnx_text(f"{head}{{ {' '.join(new)} }}")
    origins = {f"v{index}": [row] for index, row in enumerate(modules)}
    sidecar = project(original, context_by_hand(calls, origins=origins), file="m.onnx")
    for node in relink(transformed, original, sidecar, file="made.onnx").nodes:
        index = int("".join(filter(str.isdigit, node.output)))
        assert (node.owner, node.confidence) == (modules[index], "high"), node
