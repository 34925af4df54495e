"""Nodes, graphs and values of a model, with their names."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from hx_graph import (
    all_graphs,
    all_nodes,
    bodies_in,
    body_inputs,
    body_path,
    captured_values,
    dims_of,
    function_path,
    in_order,
    is_size_query,
    nested_graphs,
    nodes_below,
    output_of,
    queried_dims,
    reads,
    shape_from,
    values_by_name,
    values_in,
)


def test_all_nodes_have_paths(model: ir.Model) -> None:
    assert [(path, output_of(node)) for path, node in all_nodes(model)] == [
        ("", "h"),
        ("", "k"),
        ("k.then_branch", "s"),
        ("k.then_branch", "t"),
        ("k.then_branch/t.then_branch", "twin"),
        ("k.then_branch/t.then_branch", "u"),
        ("k.then_branch/t.else_branch", "v"),
        ("k.else_branch", "twin"),
        ("k.else_branch", "e"),
        ("", "y"),
        ("local::twice", "d"),
        ("local::twice", "b"),
    ]


def test_nodes_below_one(model: ir.Model) -> None:
    h, k, _ = model.graph
    assert list(nodes_below(h)) == []
    assert [path for path, _ in nodes_below(k, "a.body")][:1] == ["a.body/k.then_branch"]


def test_all_graphs(model: ir.Model) -> None:
    assert [graph.name for graph in all_graphs(model)] == ["main", "outer", "inner", "other", "else_", "twice"]
    assert [graph.name for graph in bodies_in(model.graph)] == ["outer", "inner", "other", "else_"]


def test_bodies_in_a_list_are_numbered() -> None:
    body = ir.Graph([], [], nodes=[], name="body")
    node = ir.node("Switch", [], {"cases": [body, ir.Graph([], [], nodes=[], name="more")]}, domain="local")
    assert [name for name, _ in nested_graphs(node)] == ["cases.0", "cases.1"]
    assert body_path("", ir.node("If", [], {}, outputs=[ir.Value(name=""), ir.Value(name="o")]), "b") == "o.b"


def test_an_attribute_that_refers_to_the_functions_own_has_no_graph(referring: ir.Model) -> None:
    nodes = [node for path, node in all_nodes(referring) if path == "local::twice"]
    assert [node.op_type for node in nodes] == ["Add", "Identity", "Constant", "If"]
    assert list(nested_graphs(nodes[-1])) == []
    assert reads(nodes[-1]) == ["condition"]
    assert len(list(all_graphs(referring))) == 6


@pytest.mark.parametrize(
    ("key", "path"),
    [(("", "Add", ""), "Add"), (("local", "f", ""), "local::f"), (("local", "f", "half"), "local::f::half")],
)
def test_function_paths(key: tuple[str, str, str], path: str) -> None:
    assert function_path(key) == path


def test_reads_with_what_bodies_capture(model: ir.Model) -> None:
    h, k, y = model.graph
    assert [reads(node) for node in (h, k, y)] == [["x", "w"], ["c", "h", "w", "x"], ["k", "x"]]
    assert captured_values(k) == {"c", "h", "w", "x"}


def test_topological_order() -> None:
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["": 20]> m (float[2] x, bool c) => (float[2] y) {'
        "y = If(c) <then_branch = a () => (float[2] t) { t = Neg(late) }, else_branch = b () => (float[2] e) { e = Neg(x) }>"
        "late = Relu(x) }"
    )
    assert [output_of(node) for node in in_order(model.graph)] == ["late", "y"]


def test_a_name_that_two_bodies_have_names_no_value(model: ir.Model) -> None:
    values = values_by_name(model.graph)
    assert {"x", "w", "h", "k", "y", "s", "t", "u", "e"} <= values.keys()
    assert "twin" not in values
    assert values["u"].producer() is next(n for _, n in all_nodes(model) if output_of(n) == "u")
    assert sum(value.name == "twin" for value in values_in(model.graph)) == 2


def test_what_a_loop_carries() -> None:
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["": 20]> m (float[2] x, int64 n) => (float[2] y) {'
        "go = Constant<value = bool {1}>()"
        "y = Loop(n, go, x) <body = b (int64 i, bool g, float[2] s) => (bool o, float[2] r) { o = Identity(g)  r = Neg(s) }>"
        "}"
    )
    assert [value.name for value in body_inputs(model.graph)] == ["i", "g", "s"]
    assert {"i", "g", "s"} <= values_by_name(model.graph).keys()


SIZES = """
<ir_version: 10, opset_import: ["": 20, "other": 1]>
m (float[2,N,M] x, float z) => (int64[3] a)
{ a = Shape(x)  b = Shape<start = 1>(x)  c = Shape<start = -2, end = -1>(x)  d = Size(x)  e = other.Shape(x)
  f = Neg(x)  g = other.Unknown(x)  h = Shape(g) }
"""


def test_size_queries() -> None:
    found = {output_of(node): node for node in ir.from_onnx_text(SIZES).graph}
    assert [name for name, node in found.items() if is_size_query(node)] == ["a", "b", "c", "d", "h"]
    assert {name: queried_dims(node) for name, node in found.items()} == {
        "a": [2, "N", "M"],
        "b": ["N", "M"],
        "c": ["N"],
        "d": None,
        "e": None,
        "f": None,
        "g": None,
        "h": None,
    }


def test_dims() -> None:
    assert dims_of(ir.Shape([2, "N", None])) == [2, "N", "?"]
    assert dims_of(ir.Shape([-1, 0])) == ["?", 0]
    assert dims_of(None) == []
    assert dims_of(shape_from([2, "N", "?"])) == [2, "N", "?"]
