"""Which call owns a node, how that is known, and who reads it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import onnx_ir as ir
import pytest
from hypothesis import given, strategies as st

from hx_projector import AttributionInput, Claim, Source, project
from hx_sidecar_schema import HxError, ModuleContext, Node, Sidecar

ContextByHand = Callable[..., ModuleContext]

# Root 0; block 1 with a 2 and b 3; head 4.
CALLS = [
    {"fqn": ""},
    {"fqn": "block"},
    {"fqn": "block.a", "parent": 1},
    {"fqn": "block.b", "parent": 1},
    {"fqn": "head"},
]


def model_of(body: str, *, weights: str = "", inputs: str = "float[2,3] x", functions: str = "") -> ir.Model:
    """Return a model from the text of its nodes; its output is y."""
    imports = '"": 20, "local": 1' if functions else '"": 20'
    return ir.from_onnx_text(
        f"""
        <ir_version: 10, opset_import: [{imports}]>
        main ({inputs}) => (float[2,3] y)
        {f"<{weights}>" if weights else ""}
        {{ {body} }}
        {functions}
        """
    )


def node_of(sidecar: Sidecar, output: str, graph: str = "") -> Node:
    (node,) = [node for node in sidecar.nodes if (node.graph, node.output) == (graph, output)]
    return node


def known(node: Node) -> tuple[int, str, str]:
    return (node.owner, node.evidence, node.confidence)


# Evidence


def test_an_input_that_is_handed_out_is_the_roots(context_by_hand: ContextByHand) -> None:
    sidecar = project(model_of("y = Identity(x)"), context_by_hand(CALLS), file="m.onnx")
    assert known(node_of(sidecar, "y")) == (0, "dataflow", "medium")
    assert sidecar.summary.covered_percent == 100
    sidecar = project(model_of("y = Relu(x)"), context_by_hand(CALLS), file="m.onnx")
    assert sidecar.summary.covered_percent == 0


def test_the_exporters_record_comes_first(context_by_hand: ContextByHand) -> None:
    model = model_of("h = Mul(x, w)  y = Relu(h)", weights="float[3] w = {1.0, 2.0, 3.0}")
    context = context_by_hand(CALLS, origins={"h": [3], "y": [4]}, parameters={"w": "block.a.weight"})
    sidecar = project(model, context, file="m.onnx")
    assert known(node_of(sidecar, "h")) == (3, "exporter", "high")
    assert known(node_of(sidecar, "y")) == (4, "exporter", "high")


def test_a_rewritten_node_of_several_calls_is_their_nearest_common_ancestors(context_by_hand: ContextByHand) -> None:
    model = model_of("h = Neg(x)  g = Relu(h)  y = Abs(g)")
    context = context_by_hand(CALLS, origins={"h": [2, 3], "g": [3, 4], "y": [1, 2]})
    sidecar = project(model, context, file="m.onnx")
    assert [known(node_of(sidecar, name)) for name in "hgy"] == [
        (1, "exporter", "high"),
        (0, "exporter", "high"),
        (1, "exporter", "high"),
    ]


def test_a_parameter_of_one_module_decides(context_by_hand: ContextByHand) -> None:
    model = model_of("h = Mul(x, w)  y = Relu(h)", weights="float[3] w = {1.0, 2.0, 3.0}")
    context = context_by_hand(CALLS, origins={"y": [4]}, parameters={"w": "block.a.weight"})
    assert known(node_of(project(model, context, file="m.onnx"), "h")) == (2, "parameter", "medium")


def test_parameters_of_two_modules_decide_nothing(context_by_hand: ContextByHand) -> None:
    model = model_of(
        "s = Mul(v, w)  y = Add(x, s)", weights="float[3] w = {1.0, 2.0, 3.0}, float[3] v = {1.0, 2.0, 3.0}"
    )
    context = context_by_hand(CALLS, origins={"y": [4]}, parameters={"w": "block.a.weight", "v": "block.b.weight"})
    assert known(node_of(project(model, context, file="m.onnx"), "s")) == (4, "dataflow", "medium")


def test_a_parameter_of_a_module_called_twice_decides_nothing(context_by_hand: ContextByHand) -> None:
    calls = [*CALLS, {"fqn": "block.a", "index": 1}]
    model = model_of("s = Neg(w)  y = Add(x, s)", weights="float[3] w = {1.0, 2.0, 3.0}")
    context = context_by_hand(calls, origins={"y": [5]}, parameters={"w": "block.a.weight"})
    assert known(node_of(project(model, context, file="m.onnx"), "s")) == (5, "dataflow", "medium")


def test_a_helper_belongs_to_its_consumer(context_by_hand: ContextByHand) -> None:
    model = model_of("k = Constant<value = float {2.0}>()  s = Neg(k)  h = Mul(x, s)  y = Relu(h)")
    sidecar = project(model, context_by_hand(CALLS, origins={"h": [2], "y": [4]}), file="m.onnx")
    assert known(node_of(sidecar, "s")) == (2, "dataflow", "medium")
    assert known(node_of(sidecar, "k")) == (2, "dataflow", "medium")


def test_a_helper_of_several_calls_is_their_common_ancestors_with_low_confidence(
    context_by_hand: ContextByHand,
) -> None:
    model = model_of("k = Constant<value = float {2.0}>()  h = Mul(x, k)  g = Add(h, k)  y = Relu(g)")
    sidecar = project(model, context_by_hand(CALLS, origins={"h": [2], "g": [3], "y": [4]}), file="m.onnx")
    assert known(node_of(sidecar, "k")) == (1, "dataflow", "low")


def test_what_stands_before_or_behind_all_that_is_known_may_be_the_roots(context_by_hand: ContextByHand) -> None:
    model = model_of("a = Abs(x)  h = Neg(a)  y = Relu(h)")
    sidecar = project(model, context_by_hand(CALLS, origins={"h": [4]}), file="m.onnx")
    assert known(node_of(sidecar, "a")) == known(node_of(sidecar, "y")) == (0, "dataflow", "low")
    assert sidecar.summary.covered_percent == 100


def test_data_between_two_calls_is_their_common_ancestors(context_by_hand: ContextByHand) -> None:
    """And not the next one's, which alone reads it."""
    model = model_of("a = Abs(x)  h = Neg(a)  g = Exp(h)  y = Relu(g)")
    known_nodes = {"a": [2], "g": [3], "y": [4]}
    sidecar = project(model, context_by_hand(CALLS, origins=known_nodes), file="m.onnx")
    assert known(node_of(sidecar, "h")) == (1, "dataflow", "low")
    sidecar = project(model, context_by_hand(CALLS, origins={**known_nodes, "g": [2]}), file="m.onnx")
    assert known(node_of(sidecar, "h")) == (2, "dataflow", "medium")


def test_a_helper_belongs_to_what_it_helps_and_not_to_what_comes_after_that(context_by_hand: ContextByHand) -> None:
    model = model_of("a = Abs(x)  k = Constant<value = float {2.0}>()  h = Mul(a, k)  g = Exp(h)  y = Relu(g)")
    context = context_by_hand(CALLS, origins={"a": [2], "g": [3], "y": [4]})
    sidecar = project(model, context, file="m.onnx")
    assert known(node_of(sidecar, "h")) == known(node_of(sidecar, "k")) == (1, "dataflow", "low")


def test_a_weight_does_not_tell_calls_of_one_module_apart(context_by_hand: ContextByHand) -> None:
    """The order of nodes need not be the order in which the calls ran."""
    calls = [{"fqn": ""}, {"fqn": "lin"}, {"fqn": "lin", "index": 1}]
    context = context_by_hand(calls, parameters={"w": "lin.weight"})
    model = model_of("h = Mul(x, w)  y = Mul(h, w)", weights="float[3] w = {1.0, 2.0, 3.0}")
    assert not project(model, context, file="m.onnx").summary.covered_percent


def test_the_stronger_source_wins_and_the_disagreement_is_listed(context_by_hand: ContextByHand) -> None:
    context = context_by_hand(CALLS, origins={"y": [3]}, parameters={"w": "block.a.weight"})
    sidecar = project(model_of("y = Mul(x, w)", weights="float[3] w = {1.0, 2.0, 3.0}"), context, file="m.onnx")
    assert known(node_of(sidecar, "y")) == (3, "exporter", "high")
    (row,) = sidecar.disagreements
    assert (row.output, row.evidence, row.owner, row.against, row.other) == ("y", "exporter", 3, "parameter", 2)


def test_what_names_one_of_merged_calls_does_not_disagree(context_by_hand: ContextByHand) -> None:
    """A convolution with the normalisation behind it reads a weight of the convolution."""
    model = model_of("y = Mul(x, w)", weights="float[3] w = {1.0, 2.0, 3.0}")
    for origins, disagreements in (([2, 3], 0), ([1, 3], 1)):
        context = context_by_hand(CALLS, origins={"y": origins}, parameters={"w": "block.a.weight"})
        sidecar = project(model, context, file="m.onnx")
        assert known(node_of(sidecar, "y"))[1:] == ("exporter", "high")
        assert len(sidecar.disagreements) == disagreements


def test_other_packages_add_sources(context_by_hand: ContextByHand, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_operator(given: AttributionInput) -> dict[str, Claim]:
        return {
            str(node.outputs[0].name): Claim(4, "medium")
            for node in given.graph.nodes.values()
            if node.op_type == "Relu"
        }

    class Point:
        name = "by_operator"

        def load(self) -> Source:
            return by_operator

    asked: list[str] = []

    def entry_points(*, group: str) -> list[Point]:
        asked.append(group)
        return [Point()]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    context = context_by_hand(CALLS, origins={"h": [2]})
    model = model_of("h = Neg(x)  y = Relu(h)")
    sidecar = project(model, context, file="m.onnx", sources=("exporter", "by_operator"))
    assert [known(node) for node in sidecar.nodes] == [(2, "exporter", "high"), (4, "by_operator", "medium")]
    assert asked == ["hx_projector.sources"]


def test_an_unknown_source_is_named(context_by_hand: ContextByHand) -> None:
    with pytest.raises(HxError, match=r"'guess'.*exporter, witness") as caught:
        project(model_of("y = Relu(x)"), context_by_hand(CALLS), file="m.onnx", sources=["guess"])
    assert caught.value.code == "HX122"


def test_nothing_known_falls_back_to_the_root_and_is_not_covered(context_by_hand: ContextByHand) -> None:
    model = model_of("h = Neg(x)  y = Relu(h)")
    sidecar = project(model, context_by_hand(CALLS), file="m.onnx")
    assert known(node_of(sidecar, "h")) == known(node_of(sidecar, "y")) == (0, "dataflow", "low")
    assert not any(node.known for node in sidecar.nodes)
    assert (sidecar.summary.exact_percent, sidecar.summary.covered_percent) == (0.0, 0.0)


def test_a_node_is_known_by_its_first_named_output(context_by_hand: ContextByHand) -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] x) => (int64[2,1] y)
    <int64[1] k = {1}>
    { , y = TopK<axis = 1>(x, k) }
    """
    sidecar = project(ir.from_onnx_text(text), context_by_hand(CALLS, origins={"y": [3]}), file="m.onnx")
    assert known(node_of(sidecar, "y")) == (3, "exporter", "high")


# Nested graphs and functions


BRANCH = """
    h = Neg(x)
    y = If (c) <
      then_branch = g1 () => (float[2,3] t) {
        t = If (c) <
          then_branch = g3 () => (float[2,3] u) { u = Exp(h) },
          else_branch = g4 () => (float[2,3] v) { v = Abs(h) }
        >
      },
      else_branch = g2 () => (float[2,3] e) { e = Tanh(h) }
    >
"""


def test_bodies_belong_to_their_nodes_owner(context_by_hand: ContextByHand) -> None:
    model = model_of(BRANCH, inputs="float[2,3] x, bool c")
    sidecar = project(model, context_by_hand(CALLS, origins={"h": [4], "y": [2]}), file="m.onnx")
    inner = {(node.graph, node.output): known(node) for node in sidecar.nodes if node.graph}
    assert inner == {
        ("y.then_branch", "t"): (2, "exporter", "high"),
        ("y.then_branch/t.then_branch", "u"): (2, "exporter", "high"),
        ("y.then_branch/t.else_branch", "v"): (2, "exporter", "high"),
        ("y.else_branch", "e"): (2, "exporter", "high"),
    }


def test_what_only_a_body_reads_is_its_helper(context_by_hand: ContextByHand) -> None:
    body = BRANCH.replace("Neg(x)", "Constant<value = float[1] {2.0}>()")
    sidecar = project(model_of(body, inputs="bool c"), context_by_hand(CALLS, origins={"y": [2]}), file="m.onnx")
    assert known(node_of(sidecar, "h")) == (2, "dataflow", "medium")


def test_loop_bodies_are_listed(context_by_hand: ContextByHand) -> None:
    model = model_of(
        """
        h = Neg(x)
        y = Loop (n, go, h) <
          body = g (int64 i, bool before, float[2,3] s) => (bool after, float[2,3] next) {
            after = Identity(before)
            next = Add(s, h)
          }
        >
        """,
        inputs="float[2,3] x, int64 n",
        weights="bool go = {1}",
    )
    sidecar = project(model, context_by_hand(CALLS, origins={"h": [2], "y": [3]}), file="m.onnx")
    assert known(node_of(sidecar, "next", "y.body")) == (3, "exporter", "high")
    assert node_of(sidecar, "h").consumers == [3]


FUNCTION = """
<domain: "local", opset_import: ["": 20, "local": 1]>
f (a) => (r) { s = Neg(a)  r = Relu(s) }
"""


def test_functions_belong_to_the_call_that_uses_them(context_by_hand: ContextByHand) -> None:
    model = model_of("h = Abs(x)  y = local.f(h)", functions=FUNCTION)
    sidecar = project(model, context_by_hand(CALLS, origins={"h": [2], "y": [3]}), file="m.onnx")
    assert known(node_of(sidecar, "s", "local::f")) == (3, "dataflow", "medium")
    assert node_of(sidecar, "s", "local::f").op_type == "Neg"


def test_functions_that_only_unknown_nodes_use_are_not_known(context_by_hand: ContextByHand) -> None:
    sidecar = project(model_of("y = local.f(x)", functions=FUNCTION), context_by_hand(CALLS), file="m.onnx")
    assert {node.known_by for node in sidecar.nodes} == {"not known"}
    assert len(sidecar.nodes) > 1


def test_functions_of_several_calls_belong_to_their_common_ancestor(context_by_hand: ContextByHand) -> None:
    model = model_of("h = local.f(x)  y = local.f(h)", functions=FUNCTION)
    sidecar = project(model, context_by_hand(CALLS, origins={"h": [2], "y": [3]}), file="m.onnx")
    assert known(node_of(sidecar, "s", "local::f")) == (1, "dataflow", "low")


def test_functions_that_functions_use_are_covered(context_by_hand: ContextByHand) -> None:
    inner = '<domain: "local", opset_import: ["": 20]>\ng (a) => (r) { r = Exp(a) }'
    functions = FUNCTION.replace("Neg(a)", "local.g(a)") + inner
    model = model_of("h = Abs(x)  y = local.f(h)", functions=functions)
    sidecar = project(model, context_by_hand(CALLS, origins={"h": [2], "y": [3]}), file="m.onnx")
    assert node_of(sidecar, "r", "local::g").owner == 3
    assert sidecar.summary.covered_percent == 100.0


# Consumers


def test_consumers_are_the_calls_outside_the_owners_subtree(context_by_hand: ContextByHand) -> None:
    model = model_of("h = Neg(x)  a = Abs(h)  b = Exp(h)  s = Add(a, b)  y = Mul(s, h)")
    origins = {"h": [1], "a": [2], "b": [4], "s": [4], "y": [0]}
    sidecar = project(model, context_by_hand(CALLS, origins=origins), file="m.onnx")
    assert node_of(sidecar, "h").consumers == [0, 4]  # not 2, which is inside the owner
    assert node_of(sidecar, "a").consumers == [4]
    assert node_of(sidecar, "b").consumers == []
    assert node_of(sidecar, "y").consumers == []


def test_a_body_is_a_consumer(context_by_hand: ContextByHand) -> None:
    model = model_of(BRANCH, inputs="float[2,3] x, bool c")
    sidecar = project(model, context_by_hand(CALLS, origins={"h": [4], "y": [2]}), file="m.onnx")
    assert node_of(sidecar, "h").consumers == [2]


# Summary


def test_counts_by_category(context_by_hand: ContextByHand) -> None:
    model = model_of(
        "a = Mul(x, x)  b = Relu(a)  c = Neg(b)  d = Shape(x)  e = com.microsoft.Odd(c)  f = Sqrt(e)  y = Tanh(f)"
    )
    context = context_by_hand(CALLS, origins={"a": [2], "b": [3], "y": [4]})
    summary = project(model, context, file="m.onnx").summary
    counts = {name: (row.total, row.tagged, row.exact) for name, row in summary.category_statistics.items()}
    assert counts == {
        "mathematical": (3, 3, 1),
        "activation": (2, 2, 2),
        "shape/metadata": (1, 0, 0),
        "uncategorised": (1, 1, 0),
    }
    assert summary.nodes == 7
    assert summary.exact_percent == round(300 / 7, 2)
    assert summary.covered_percent == round(600 / 7, 2)
    assert summary.category_statistics["mathematical"].percentage == 100.0
    assert summary.category_statistics["shape/metadata"].percentage == 0.0


@given(st.data())
def test_every_node_has_one_row_and_percentages_add_up(context_by_hand: ContextByHand, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    lines, origins = [], {}
    for number in range(count):
        name = "y" if number == count - 1 else f"v{number}"
        source = data.draw(st.sampled_from(["x", *(f"v{i}" for i in range(number))]))
        lines.append(f"{name} = {data.draw(st.sampled_from(['Neg', 'Relu', 'Abs', 'Identity']))}({source})")
        rows = data.draw(st.lists(st.integers(0, 4), max_size=3, unique=True))
        if rows:
            origins[name] = rows
    sidecar = project(model_of("  ".join(lines)), context_by_hand(CALLS, origins=origins), file="m.onnx")
    outputs = [node.output for node in sidecar.nodes]
    assert len(outputs) == len(set(outputs)) == count == sidecar.summary.nodes
    statistics = sidecar.summary.category_statistics.values()
    assert sum(row.total for row in statistics) == count
    exact = [node for node in sidecar.nodes if node.evidence == "exporter"]
    assert {node.output for node in exact} == set(origins)
    assert sidecar.summary.exact_percent == pytest.approx(100 * len(exact) / count, abs=0.01)
    assert sidecar.summary.covered_percent >= sidecar.summary.exact_percent
    assert all(node.owner not in node.consumers for node in sidecar.nodes)
