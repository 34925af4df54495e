"""Whether two graphs are the same, judged by a general isomorphism check."""

from __future__ import annotations

import itertools
import random
import time
from typing import Any

import networkx as nx
import onnx_ir as ir
import pytest
from hypothesis import given, settings, strategies as st

from hx_projector import graph_difference, structural_digest
from hx_projector.comparison.matching import longest_common

OPERATORS = ("Add", "Mul", "Neg")


@st.composite
def graphs(draw: st.DrawFn) -> ir.Model:
    """Small graphs of all shapes: shared and unused results, repeated inputs, weights, attributes."""
    inputs = [_value(f"x{index}") for index in range(draw(st.integers(1, 2)))]
    weights = [_value(f"w{index}") for index in range(draw(st.integers(0, 2)))]
    values, nodes = [*inputs, *weights], []
    for index in range(draw(st.integers(1, 7))):
        operator = draw(st.sampled_from(OPERATORS))
        arity = 1 if operator == "Neg" else 2
        sources = [draw(st.sampled_from(values)) for _ in range(arity)]
        attributes = [ir.AttrInt64("k", draw(st.integers(0, 1)))] if operator == "Neg" else []
        node = ir.Node("", operator, sources, attributes, outputs=[_value(f"v{index}")], name=f"n{index}")
        nodes.append(node)
        values.append(node.outputs[0])
    outputs = [draw(st.sampled_from([node.outputs[0] for node in nodes])) for _ in range(draw(st.integers(1, 2)))]
    return _model(inputs, weights, nodes, list({id(value): value for value in outputs}.values()))


def _value(name: str) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2]))


def _model(inputs: Any, weights: Any, nodes: Any, outputs: Any) -> ir.Model:
    for weight in weights:
        weight.const_value = ir.tensor([1.0, 2.0], name=weight.name)
    graph = ir.Graph(inputs, outputs, nodes=nodes, initializers=weights, opset_imports={"": 20})
    return ir.Model(graph, ir_version=10)


def shuffled(model: ir.Model, seed: int) -> ir.Model:
    """Return the same graph with other names, in another order that is topological too."""
    copy = ir.from_proto(ir.to_proto(model))
    chance = random.Random(seed)
    nodes, done, ordered = list(copy.graph), set[int](), []
    while nodes:
        ready = [n for n in nodes if all(v is None or v.producer() is None or id(v) in done for v in n.inputs)]
        node = chance.choice(ready)
        nodes.remove(node)
        ordered.append(node)
        done.update(id(out) for out in node.outputs)
    for node in ordered:
        copy.graph.remove(node)
        copy.graph.append(node)
    names = [*copy.graph.initializers.values(), *(out for node in ordered for out in node.outputs)]
    for index, value in enumerate(chance.sample(names, len(names))):
        value.name = f"r{index}"
    for node in ordered:
        node.name = ""
    return copy


def as_networkx(model: ir.Model) -> nx.DiGraph:
    """Return a graph whose plain isomorphism is the one meant here: a vertex for every value, node and place."""
    graph, result = model.graph, nx.DiGraph()
    for value in graph.initializers.values():
        result.add_node(id(value), label="weight")
    for index, value in enumerate(graph.inputs):
        result.add_node(id(value), label=f"input {index}")
    for node in graph:
        result.add_node(id(node), label=f"{node.op_type} {[a.value for a in node.attributes.values()]}")
        for out in node.outputs:
            result.add_node(id(out), label="value")
            result.add_edge(id(node), id(out))
        for place, value in enumerate(node.inputs):
            result.add_node((id(node), place), label=f"place {place}")
            result.add_edge((id(node), place), id(node))
            result.add_edge(id(value), (id(node), place))
    for index, value in enumerate(graph.outputs):
        result.add_node(("output", index), label=f"output {index}")
        result.add_edge(id(value), ("output", index))
    return result


def isomorphic(one: ir.Model, other: ir.Model) -> bool:
    # A weight that nothing reads is no part of the topology.
    graphs = [as_networkx(model) for model in (one, other)]
    for graph in graphs:
        graph.remove_nodes_from(
            [n for n, data in graph.nodes(data=True) if data["label"] == "weight" and not graph.out_degree(n)]
        )
    return nx.is_isomorphic(*graphs, node_match=lambda a, b: a["label"] == b["label"])


@given(graphs(), st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_names_and_order_do_not_matter(model: ir.Model, seed: int) -> None:
    other = shuffled(model, seed)
    assert isomorphic(model, other)
    assert structural_digest(model) == structural_digest(other)
    assert graph_difference(model, other) is None


def live(model: ir.Model) -> bool:
    """Say whether every node leads to an output."""
    graph = as_networkx(model)
    ends = [n for n, data in graph.nodes(data=True) if data["label"].startswith("output")]
    reached = set(ends).union(*(nx.ancestors(graph, end) for end in ends))
    return all(id(node) in reached for node in model.graph)


@given(graphs(), graphs())
@settings(max_examples=300, deadline=None)
def test_two_graphs_are_equal_exactly_if_they_are_isomorphic(one: ir.Model, other: ir.Model) -> None:
    if live(one) and live(other):
        assert (structural_digest(one) == structural_digest(other)) == isomorphic(one, other)
    elif isomorphic(one, other):
        assert structural_digest(one) == structural_digest(other)


@given(graphs(), st.integers(0, 1000), st.data())
@settings(max_examples=150, deadline=None)
def test_one_change_is_found(model: ir.Model, seed: int, data: st.DataObject) -> None:
    other = shuffled(model, seed)
    node = data.draw(st.sampled_from(list(other.graph)))
    if node.op_type == "Neg":
        node.attributes["k"] = ir.AttrInt64("k", 1 - node.attributes["k"].as_int())
    else:
        first, second = node.inputs
        node.replace_input_with(0, second)
        node.replace_input_with(1, first)
    same = isomorphic(model, other)  # both operands may be one value
    if live(model) or same:  # which of two alike results an unused node reads is not told apart
        assert (graph_difference(model, other) is None) == same


def test_a_change_in_the_middle_is_the_only_one_that_is_reported() -> None:
    text = """
        <ir_version: 10, opset_import: ["": 20]>
        main (float[2] x) => (float[2] y) {{ a = Neg(x)  b = {}(a)  c = Abs(b)  y = Exp(c) }}
    """
    one, other = (ir.from_onnx_text(text.format(operator)) for operator in ("Tanh", "Relu"))
    found = graph_difference(one, other)
    assert found is not None
    assert (found.only_left, found.only_right, found.divergence) == (["b"], ["b"], [("b", "b")])
    assert found.operators == {"Relu": (0, 1), "Tanh": (1, 0)}
    assert found.inputs == found.outputs == []


@pytest.mark.parametrize(
    "other",
    [
        "y = If (c) < then_branch = t () => (float[2] a) { a = Neg(h) }, else_branch = e () => (float[2] b) { b = Abs(x) } >",
        "y = If (c) < then_branch = t () => (float[2] a) { a = Neg(x) }, else_branch = e () => (float[2] b) { b = Exp(x) } >",
    ],
)
def test_bodies_and_what_they_capture_count(other: str) -> None:
    text = """
        <ir_version: 10, opset_import: ["": 20]>
        main (float[2] x, bool c) => (float[2] y) {{ h = Tanh(x)  {} }}
    """
    body = "y = If (c) < then_branch = t () => (float[2] a) { a = Neg(x) }, else_branch = e () => (float[2] b) { b = Abs(x) } >"
    assert structural_digest(ir.from_onnx_text(text.format(body))) == structural_digest(
        ir.from_onnx_text(text.format(body.replace("a =", "z =").replace("float[2] a", "float[2] z")))
    )
    found = graph_difference(ir.from_onnx_text(text.format(body)), ir.from_onnx_text(text.format(other)))
    assert found is not None
    assert "y" in [*found.only_left, *found.rewired]


@pytest.mark.parametrize(
    ("one", "other"),
    [("y = Concat<axis = 0>(x, x)", "y = Concat<axis = 0>(x, x, x)"), ("y = Clip(x, m)", 'y = Clip(x, "", m)')],
)
def test_inputs_that_one_node_has_and_its_counterpart_has_not(one: str, other: str) -> None:
    text = '<ir_version: 10, opset_import: ["": 20]> g (float[2] x, float m) => (float[N] y) {{ {} }}'
    found = graph_difference(ir.from_onnx_text(text.format(one)), ir.from_onnx_text(text.format(other)))
    assert found is not None
    assert (found.only_left, found.only_right, found.rewired) == ([], [], ["y"])


def test_captured_values_count_where_an_input_is_left_out() -> None:
    text = """<ir_version: 10, opset_import: ["": 20]> g (int64 m, float[2] x) => (float[2] y) {{
        p = Neg(x)  q = Abs(x)
        l = Loop(m, "", x) <body = b (int64 i, bool c, float[2] s) => (bool d, float[2] t) {{
            d = Identity(c)  t = Add(s, {})
        }}>
        a = Exp(l)  y = Sum(a, p, q)
    }}"""
    found = graph_difference(ir.from_onnx_text(text.format("p")), ir.from_onnx_text(text.format("q")))
    assert found is not None
    assert [name for name, _ in found.divergence] == ["l"]


def test_constants_of_strings() -> None:
    text = """<ir_version: 10, opset_import: ["": 20]> g (float[2] x) => (string[1] y) {{
        c = Constant<value = string[1] {{"{}"}}>()  y = Identity(c)
    }}"""
    one, same, other = (structural_digest(ir.from_onnx_text(text.format(word))) for word in "aab")
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(float x) => (float y) { y = Neg(x) }", "(float[] x) => (float y) { y = Neg(x) }"),
        ("(float[2] x) => (float[2] y) { y = Neg(x) }", "(seq(float[2]) x) => (float[2] y) { y = Neg(x) }"),
        ("(float x) => (float y) { y = Neg(x) z = Abs(x) }", "(float x) => (float y) { y = Neg(x) z = Exp(x) }"),
        ("(float x) => (float y) { y = Elu<alpha=0.1>(x) }", "(float x) => (float y) { y = Elu<alpha=0.2>(x) }"),
    ],
)
def test_what_differs_in_one_word(one: str, other: str) -> None:
    head = '<ir_version: 10, opset_import: ["": 20]> g '
    assert graph_difference(ir.from_onnx_text(head + one), ir.from_onnx_text(head + other)) is not None


def test_numbers_in_memory_are_those_of_the_file() -> None:
    model = ir.from_onnx_text('<ir_version: 10, opset_import: ["": 20]> g (float x) => (float y) { y = Elu(x) }')
    model.graph[0].attributes["alpha"] = ir.AttrFloat32("alpha", 0.1)
    assert structural_digest(model) == structural_digest(ir.from_proto(ir.to_proto(model)))


def test_names_of_tensors_in_a_list_do_not_count() -> None:
    def model(name: str, value: float) -> str:
        made = ir.from_onnx_text('<ir_version: 10, opset_import: ["": 20]> g (float x) => (float y) { y = c.F(x) }')
        made.graph[0].attributes["t"] = ir.AttrTensors("t", [ir.tensor([value], name=name)])
        return structural_digest(made)

    assert model("a", 1.0) == model("b", 1.0)
    assert model("a", 1.0) != model("a", 2.0)


def _if(name: str, then: str) -> str:
    """Return an If whose bodies have names of their own."""
    body = then.replace("_", name)
    return (
        f"{name} = If (c) <then_branch = t () => (float[2] a{name}) {{ {body} }}, "
        f"else_branch = e () => (float[2] b{name}) {{ b{name} = Exp(x) }}>"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            _if("y", "r_ = Neg(p)  s_ = Abs(q)  a_ = Sub(r_, s_)"),
            _if("y", "s_ = Abs(q)  r_ = Neg(p)  a_ = Sub(r_, s_)"),
        ),
        (
            f"y = Neg(x) {_if('d', 'a_ = Tanh(p)')} {_if('f', 'a_ = Tanh(q)')}",
            f"y = Neg(x) {_if('f', 'a_ = Tanh(q)')} {_if('d', 'a_ = Tanh(p)')}",
        ),
    ],
    ids=["in a body", "of nodes with bodies and without a use"],
)
def test_the_order_of_nodes_does_not_matter(one: str, other: str) -> None:
    text = """<ir_version: 10, opset_import: ["": 20]>
        g (float[2] x, bool c) => (float[2] y) {{ p = Sin(x)  q = Cos(x)  {} }}"""
    left, right = (ir.from_onnx_text(text.format(side)) for side in (one, other))
    assert structural_digest(left) == structural_digest(right)
    assert structural_digest(left) != structural_digest(ir.from_onnx_text(text.format(one.replace("(q)", "(p)"))))


@given(graphs(), graphs())
@settings(max_examples=200, deadline=None)
def test_what_is_not_the_same_is_shown(one: ir.Model, other: ir.Model) -> None:
    found = graph_difference(one, other)
    if found is not None:
        assert found.inputs or found.outputs or found.only_left or found.only_right or found.rewired


def test_what_shares_a_weight_counts() -> None:
    text = """<ir_version: 10, opset_import: ["": 20]> g (float[1] x) => (float[1] y)
        <float[1] v = {{1.0}}, float[1] w = {{2.0}}> {{ a = Mul(x, v)  b = Sub(x, {})  y = Add(a, b) }}"""
    found = graph_difference(ir.from_onnx_text(text.format("v")), ir.from_onnx_text(text.format("w")))
    assert found is not None
    assert (found.rewired, found.divergence) == (["b"], [("b", "b")])


def test_functions_and_opsets_are_named() -> None:
    text = """<ir_version: 10, opset_import: ["": 20, "l": 1]> main (float[2] x) => (float[2] y) {{ t = l.f(x) y = Neg(t) }}
        <domain: "l", opset_import: ["": 20]> f <k: int = {}> (a) => (r) {{ r = Neg(a) }}"""
    one, other = (ir.from_onnx_text(text.format(number)) for number in (1, 2))
    other.opset_imports[""] = 21
    found = graph_difference(one, other)
    assert found is not None
    assert found.elsewhere == ["opset imports ai.onnx 20, l 1 and ai.onnx 21, l 1", "function l::f differs"]


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_a_longest_common_subsequence_is_found_within_its_edits(one: list[int], other: list[int]) -> None:
    longest = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, left in enumerate(one):
        for j, right in enumerate(other):
            longest[i + 1][j + 1] = longest[i][j] + 1 if left == right else max(longest[i][j + 1], longest[i + 1][j])
    edits = len(one) + len(other) - 2 * longest[-1][-1]
    pairs = longest_common(one, other, edits)
    assert pairs is not None
    assert len(pairs) == longest[-1][-1]
    assert all(one[i] == other[j] for i, j in pairs)
    assert all(i < k and j < n for (i, j), (k, n) in itertools.pairwise(pairs))
    if edits:
        assert longest_common(one, other, edits - 1) is None


def test_several_changes_far_apart_are_all_that_is_reported() -> None:
    def chain(changes: dict[int, str]) -> ir.Model:
        x = _value("x")
        nodes, value = [], x
        for index in range(9000):
            operator = changes.get(index, ("Neg", "Abs", "Exp")[index % 3])
            if operator == "":
                continue
            nodes.append(ir.Node("", operator, [value], outputs=[_value(f"v{index}")]))
            value = nodes[-1].outputs[0]
        return _model([x], [], nodes, [value])

    changes = {1000: "Sin", 3001: "Cos", 5000: "", 8000: "Tan"}
    found = graph_difference(chain({}), chain(changes))
    assert found is not None
    assert found.only_left == ["v1000", "v3001", "v5000", "v8000"]
    assert found.only_right == ["v1000", "v3001", "v8000"]
    assert found.rewired == []


def test_files_may_have_nodes_in_any_order() -> None:
    text = '<ir_version: 10, opset_import: ["": 20]> g (float[2] x) => (float[2] y) {{ {} }}'
    lines = ["a = Neg(x)", "b = Abs(a)", "y = Exp(b)", "d = Tanh(b)"]
    one, other = (ir.from_onnx_text(text.format("  ".join(order))) for order in (lines, lines))
    other.graph.extend(list(reversed([other.graph.remove(node) or node for node in list(other.graph)])))
    assert [node.op_type for node in other.graph] == ["Tanh", "Exp", "Abs", "Neg"]
    assert graph_difference(one, other) is None
    other.graph[0].op_type = "Sin"
    found = graph_difference(one, other)
    assert found is not None
    assert (found.only_left, found.only_right, found.divergence) == (["d"], ["d"], [("d", "d")])


def test_a_circle_which_no_valid_graph_has_ends_too() -> None:
    text = '<ir_version: 10, opset_import: ["": 20]> g (float[2] x) => (float[2] y) {{ {} }}'
    model = ir.from_onnx_text(text.format("a = Neg(x)  b = Abs(a)  y = Add(x, b)"))
    model.graph[0].replace_input_with(0, model.graph[1].outputs[0])
    other = ir.from_onnx_text(text.format("a = Neg(x)  b = Abs(a)  y = Add(x, b)"))
    assert graph_difference(model, other) is not None


def test_large_graphs_take_seconds() -> None:
    def chain() -> ir.Model:
        x = _value("x")
        nodes, value = [], x
        for index in range(20_000):
            node = ir.Node("", "Add", [value, nodes[-7].outputs[0] if index > 7 else x], outputs=[_value(f"v{index}")])
            nodes.append(node)
            value = node.outputs[0]
        return _model([x], [], nodes, [value])

    one, other = chain(), chain()
    node = other.graph[10_000]
    node.replace_input_with(1, other.graph.inputs[0])
    start = time.perf_counter()
    found = graph_difference(one, other)
    assert time.perf_counter() - start < 15
    assert found is not None
    assert (found.only_left, found.only_right) == ([], [])
    assert found.rewired == [node.outputs[0].name]
    assert [name for name, _ in found.divergence] == [node.outputs[0].name]


HEAD = '<ir_version: 10, opset_import: ["": 20%s]> m (float[2,3] x, float[3,3] w) => (float[2,3] y) { %s }'


def _from_text(body: str, opsets: str = "") -> ir.Model:
    return ir.from_onnx_text(HEAD % (opsets, body))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("y = Gemm (x, w)", "y = Gemm <beta: float = 1.0, transA: int = 0> (x, w)"),
        ("y = LeakyRelu <alpha: float = 0.01> (x)", "y = LeakyRelu (x)"),
        ("y = Clip (x,,)", "y = Clip (x)"),
        (
            "c = Cast <to: int = 9> (x) d = ReduceMax <keepdims: int = 0> (c) y = If (d) <then_branch = a () => (float[2,3] t)"
            "{ t = Selu (x) }, else_branch = b () => (float[2,3] e) { e = Neg (x) }>",
            "c = Cast <to: int = 9, saturate: int = 1> (x) d = ReduceMax <keepdims: int = 0> (c) y = If (d) <then_branch = a () => "
            "(float[2,3] t) { t = Selu <gamma: float = 1.0507010221481323> (x) }, else_branch = b () => (float[2,3] e) { e = Neg (x) }>",
        ),
    ],
)
def test_what_is_left_out_is_what_it_is_by_default(left: str, right: str) -> None:
    assert graph_difference(_from_text(left), _from_text(right)) is None


def test_an_opset_that_nothing_uses_is_no_difference() -> None:
    unused = ', "com.microsoft": 1'
    assert graph_difference(_from_text("y = Neg (x)"), _from_text("y = Neg (x)", unused)) is None
    used = [_from_text("y = com.microsoft.Gelu (x)", f', "com.microsoft": {version}') for version in (1, 2)]
    found = graph_difference(*used)
    assert found is not None
    assert found.elsewhere == ["opset imports com.microsoft 1 and com.microsoft 2"]


def test_attributes_that_differ_are_named_with_both_values() -> None:
    left = "a = LeakyRelu <alpha: float = 0.2> (x) b = Elu (a) c = com.microsoft.Foo <k: ints = [1, 2]> (b) y = Neg (c)"
    right = (
        "a = LeakyRelu <alpha: float = 0.5> (x) z = Elu <alpha: float = 2.0> (a)"
        'c = com.microsoft.Foo <k: ints = [1, 3], s: string = "q"> (z) y = Neg (c)'
    )
    found = graph_difference(*(_from_text(text, ', "com.microsoft": 1') for text in (left, right)))
    assert found is not None
    assert found.attributes == [
        ("a", "a", {"alpha": ("0.2", "0.5")}),
        ("b", "z", {"alpha": ("1.0", "2.0")}),
        ("c", "c", {"k": ("[1, 2]", "[1, 3]"), "s": ("none", "q")}),
    ]
