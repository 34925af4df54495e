"""Comparing graphs: names never matter, structure always does."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from hypothesis import given, strategies as st

from hx_projector import first_difference

TEXT = """
<ir_version: 10, opset_import: ["": 20]>
main (float[2,3] x, bool c) => (float[2,3] y, float[2,3] z)
<float[3] w = {1.0, 2.0, 3.0}, float[3] v = {4.0, 5.0, 6.0}>
{
  a = Sub(x, w)
  b = Softmax<axis = 1>(a)
  k = Constant<value = float[2] {1.0, 2.0}>()
  d = If (c) <
    then_branch = g1 () => (float[2,3] t) { t = Exp(b) },
    else_branch = g2 () => (float[2,3] e) { e = Tanh(a) }
  >
  y = Sub(d, b)
  z = Mul(d, v)
}
"""


def changed(*changes: tuple[str, str]) -> ir.Model:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return ir.from_onnx_text(text)


def rename_all(model: ir.Model) -> ir.Model:
    """Give every value and node another name."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        node.name = f"n_{node.op_type}"
        for out in node.outputs:
            out.name = f"renamed_{out.name}"
    for value in (*model.graph.inputs, *list(model.graph.initializers.values())):
        value.name = f"renamed_{value.name}"
    return model


def test_a_model_is_like_itself() -> None:
    assert first_difference(changed(), changed()) is None


def test_names_and_metadata_do_not_matter() -> None:
    other = rename_all(changed())
    other.graph[0].metadata_props["scope"] = "x"
    other.graph[0].doc_string = "text"
    assert first_difference(changed(), other) is None


def test_contents_of_weights_do_not_matter() -> None:
    assert first_difference(changed(), changed(("{1.0, 2.0, 3.0}", "{7.0, 8.0, 9.0}"))) is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a = Sub(x, w)", "a = Add(x, w)", "node 0 (Sub 'a'): the other is Add"),
        ("a = Sub(x, w)", "a = custom.Sub(x, w)", "node 0"),
        ("a = Sub(x, w)", "a = Sub(w, x)", "node 0 (Sub 'a'): input 0 comes from elsewhere"),
        ("y = Sub(d, b)", "y = Sub(b, d)", "node 4 (Sub 'y'): input 0 comes from elsewhere"),
        ("y = Sub(d, b)", "y = Sub(d, a)", "input 1 comes from elsewhere"),
        ("z = Mul(d, v)", "z = Mul(d, x)", "input 1 comes from elsewhere"),
        ("z = Mul(d, v)", "z = Mul(d)", "2 inputs and 1 inputs"),
        ("axis = 1", "axis = 0", "attribute 'axis' is 1 and 0"),
        ("<axis = 1>", "", "attributes ['axis'] and []"),
        ("float[2] {1.0, 2.0}", "float[2] {1.0, 3.0}", "attribute 'value'"),
        ("t = Exp(b)", "t = Exp(a)", "body 'then_branch', node 0"),
        ("e = Tanh(a)", "e = Abs(a)", "body 'else_branch', node 0"),
        ("t = Exp(b)", "s = Exp(b) t = Identity(s)", "body 'then_branch'"),
        ("z = Mul(d, v)", "z = Mul(d, v) q = Neg(z)", "6 nodes and 7 nodes"),
        ("float[3] v = {4.0, 5.0, 6.0}", "float[1] v = {4.0}", "input 1 comes from elsewhere"),
        ("float[3] v = {4.0, 5.0, 6.0}", "double[3] v = {4.0, 5.0, 6.0}", "input 1 comes from elsewhere"),
        ("float[2,3] x, bool c", "float[2,3] x, int64 c", "inputs are"),
        ("float[2,3] x", "float[4,3] x", "inputs are"),
        ("(float[2,3] y, float[2,3] z)", "(float[2,3] z, float[2,3] y)", "comes from elsewhere"),
        ("(float[2,3] y, float[2,3] z)", "(float[2,3] y)", "outputs are"),
    ],
)
def test_every_change_is_found_from_both_sides(old: str, new: str, words: str) -> None:
    difference = first_difference(changed(), changed((old, new)))
    assert difference is not None
    assert words in difference
    assert first_difference(changed((old, new)), changed()) is not None


def test_one_weight_is_not_two_equal_ones() -> None:
    """The same weight in two places and two weights of one type are different topologies."""
    tied = changed(("z = Mul(d, v)", "z = Mul(d, w)"))
    assert first_difference(changed(), tied) is not None
    assert first_difference(tied, changed()) is not None


def test_functions_are_compared() -> None:
    text = """
    <ir_version: 10, opset_import: ["": 20, "local": 1]>
    main (float[2,3] x) => (float[2,3] y) { y = local.f(x) }
    <domain: "local", opset_import: ["": 20]>
    f (a) => (r) { r = Neg(a) }
    """
    one, other = ir.from_onnx_text(text), ir.from_onnx_text(text.replace("Neg", "Exp"))
    assert first_difference(one, one.clone()) is None
    assert first_difference(one, other) is not None


def test_dynamic_dimensions_are_compared_by_place() -> None:
    text = '<ir_version: 10, opset_import: ["": 20]> main (float[{}] x) => (float[{}] y) {{ y = Neg(x) }}'
    one = ir.from_onnx_text(text.format("batch,3", "batch,3"))
    assert first_difference(one, ir.from_onnx_text(text.format("s0,3", "s0,3"))) is None
    assert first_difference(one, ir.from_onnx_text(text.format("2,3", "2,3"))) is not None
    assert first_difference(one, ir.from_onnx_text(text.format("batch", "batch"))) is not None


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """A list of nodes: operator and the numbers of the two values that it reads."""
    count = draw(st.integers(1, 8))
    return [
        (draw(st.sampled_from(["Add", "Sub", "Mul"])), draw(st.integers(0, number)), draw(st.integers(0, number)))
        for number in range(count)
    ]


def model_of(program: list[tuple[str, int, int]], prefix: str) -> ir.Model:
    lines = [
        f"{prefix}{number} = {operator}({prefix}{left}, {prefix}{right})"
        for number, (operator, left, right) in enumerate(program, start=1)
    ]
    return ir.from_onnx_text(
        f"""
        <ir_version: 10, opset_import: ["": 20]>
        main (float[2,3] {prefix}0) => (float[2,3] {prefix}{len(program)})
        {{ {" ".join(lines)} }}
        """
    )


@given(programs())
def test_renaming_makes_no_difference(program: list[tuple[str, int, int]]) -> None:
    assert first_difference(model_of(program, "a"), model_of(program, "b")) is None


@given(programs(), programs())
def test_two_graphs_are_alike_where_their_programs_are(
    one: list[tuple[str, int, int]], other: list[tuple[str, int, int]]
) -> None:
    difference = first_difference(model_of(one, "a"), model_of(other, "b"))
    assert (difference is None) == (one == other)
