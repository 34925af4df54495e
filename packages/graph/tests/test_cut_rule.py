"""What lies between the inputs and outputs of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from hx_graph import Cut, CutGraph, all_nodes, infer_types, output_of
from hx_sidecar_schema import Port

TEXT = """
<ir_version: 10, opset_import: ["": 20, "other": 1]>
main (float[N,M] x, float[N,1] m) => (float[N,M] y)
<float[1] w = {1.0}, int64[1] axis = {1}>
{
  mask = Neg(m)
  scaled = Mul(w, w)
  sizes = Shape(x)
  h = Mul(x, scaled)
  a = Add(h, mask)
  s = Shape<start = 1>(h)
  b = Expand(a, sizes)
  t = Shape(mask)
  y = Expand(b, t)
}
"""
OWNERS = {"h": 1, "a": 2, "s": 2, "b": 2, "y": 1}
"""Call 2 lies in call 1; the root owns the rest."""
ENDS = [3, 3, 3]


def port(name: str, value: str, *shape: int | str, unused: bool = False, implicit: bool = False) -> Port:
    return Port(name=name, value=value, dtype="FLOAT", shape=list(shape), unused=unused, implicit=implicit)


def cut(
    row: int,
    inputs: Sequence[Port],
    outputs: Sequence[str],
    *,
    text: str = TEXT,
    owners: Mapping[str, int] = OWNERS,
    sizes: Mapping[str, str] | None = None,
    recovered: Mapping[str, Sequence[str]] | None = None,
    weights: Sequence[str] = (),
    **more: bool,
) -> Cut:
    model = ir.from_onnx_text(text)
    infer_types(model)
    keys = {(path, output_of(node)): owners.get(output_of(node), 0) for path, node in all_nodes(model)}
    graph = CutGraph(model.graph, keys, sizes or {}, weights)
    return graph.cut(row, ENDS[row], inputs, outputs, recovered=recovered or {}, **more)


H = port("h", "h", "N", "M")


def test_what_is_no_argument_and_comes_from_an_input_is_implicit() -> None:
    found = cut(2, [H], ["a"])
    assert (found.reached, found.implicit, found.sizes) == ({"h"}, ["mask"], {})


def test_constants_and_what_is_made_of_the_inputs_are_taken_along() -> None:
    assert cut(1, [port("x", "x", "N", "M")], ["h"]).implicit == []
    assert cut(2, [H, port("m", "m", "N", 1)], ["a"]).reached == {"h", "m"}, "the mask is copied in"


def test_an_argument_that_is_not_used_is_not_reached() -> None:
    assert cut(2, [H, port("mask", "mask", "N", 1)], ["s"]).reached == {"h"}


def test_outer_sizes_are_read_from_the_inputs() -> None:
    found = cut(2, [H, port("mask", "mask", "N", 1)], ["b"])
    assert found.sizes == {"sizes": [("h", 0), ("h", 1)]}
    assert (found.reached, found.implicit) == ({"h", "mask"}, [])


def test_a_size_that_no_input_has_is_not_read_from_one() -> None:
    found = cut(2, [port("h", "h", "N", "?"), port("mask", "mask", "N", 1)], ["b"])
    assert (found.sizes, found.implicit) == ({}, ["sizes"])


def test_unknown_sizes_are_not_equal() -> None:
    text = TEXT.replace("N,M", "N,None")
    found = cut(2, [port("h", "h", "N", "None"), port("mask", "mask", "N", 1)], ["b"], text=text)
    assert (found.sizes, found.implicit) == ({}, ["sizes"])


def test_the_sizes_of_an_argument_are_its_own() -> None:
    found = cut(2, [H, port("x", "x", "N", "M")], ["b"])
    assert found.sizes == {}
    assert found.reached == {"h", "x"}


def test_known_sizes_are_numbers() -> None:
    text = TEXT.replace("float[N,M] x, float[N,1] m", "float[2,M] x, float[2,1] m")
    found = cut(1, [port("x", "x", 2, "M"), port("p", "mask", 2, 1)], ["y"], text=text)
    assert found.sizes == {}
    found = cut(2, [port("h", "h", 2, "M"), port("p", "mask", 2, 1)], ["b"], text=text)
    assert found.sizes == {"sizes": [2, ("h", 1)]}


def test_the_graph_is_all_there_is_for_the_root() -> None:
    found = cut(0, [port("x", "x", "N", "M"), port("m", "m", "N", 1)], ["y"])
    assert (found.reached, found.implicit, found.sizes) == ({"x", "m"}, [], {})


def test_another_domains_shape_is_no_size() -> None:
    text = TEXT.replace("sizes = Shape", "sizes = other.Shape")
    found = cut(2, [H, port("mask", "mask", "N", 1)], ["b"], text=text)
    assert (found.sizes, found.implicit) == ({}, ["sizes"])


def test_a_size_comes_from_a_used_argument_where_one_has_it() -> None:
    ports = [port("p", "m", "N", 1, unused=True), port("h", "h", "N", "M"), port("q", "mask", "N", 1)]
    assert cut(2, ports, ["b"]).sizes["sizes"][0] == ("h", 0)
    ports = [port("p", "mask", "N", 1), port("g", "h", "?", "M"), port("i", "m", "N", 1, implicit=True)]
    assert cut(2, ports, ["b"]).sizes["sizes"][0] == ("mask", 0)
    ports = [port("g", "h", "?", "M"), port("i", "mask", "N", 1, implicit=True)]
    assert cut(2, ports, ["b"]).sizes == {}, "implicit inputs are found after sizes"


def test_the_sizes_of_an_implicit_input_are_read_from_an_argument() -> None:
    text = TEXT.replace("sizes = Shape(x)", "sizes = Shape(mask)")
    before = cut(2, [H], ["b"], text=text)
    assert (before.implicit, before.sizes) == (["mask"], {"sizes": [("h", 0), 1]})
    again = cut(2, [H, port("i", "mask", "N", 1, implicit=True)], ["b"], text=text, complete=True)
    assert (again.reached, again.sizes) == ({"h", "mask"}, before.sizes)


def test_scalars_that_hold_a_size() -> None:
    text = TEXT.replace("sizes = Shape(x)", "whole = Shape(x)  sizes = Gather(whole, axis)")
    ports = [H, port("mask", "mask", "N", 1)]
    assert cut(2, ports, ["b"], text=text, sizes={"sizes": "M"}).sizes == {"sizes": [("h", 1)]}
    assert cut(2, ports, ["b"], text=text, sizes={"sizes": "2*M"}).implicit == []


def test_recovered_nodes_stand_for_the_graphs_own() -> None:
    ports = [H]
    assert cut(2, ports, ["a"], recovered={"mask": ["h"]}).implicit == []
    assert cut(2, ports, ["a"], recovered={"a": []}).reached == set(), "a constant reads nothing"
    found = cut(2, [H, port("mask", "mask", "N", 1)], ["b"], recovered={"sizes": ["h"]})
    assert found.sizes == {}


def test_an_output_that_a_neighbour_makes_is_the_calls() -> None:
    assert cut(2, [port("m", "m", "N", 1)], ["mask"]).implicit == []
    assert cut(2, [], ["mask"]).implicit == ["m"]


def test_all_inputs_are_known() -> None:
    found = cut(2, [H], ["a"], complete=True)
    assert found.implicit == ["m"], "what it needs is taken along up to the graph's inputs"
    assert cut(2, [H], ["a"], complete=True, weights=["m"]).implicit == []


LOOP = """
<ir_version: 10, opset_import: ["": 20]>
main (float[N] x, int64 n) => (float[N] y)
{
  go = Constant<value = bool {1}>()
  h = Neg(x)
  y = Loop(n, go, h) <body = b (int64 i, bool g, float[N] c) => (bool o, float[N] r) {
    o = Identity(g)
    k = Mul(c, h)
    r = Relu(k)
  }>
}
"""


def test_calls_in_bodies() -> None:
    owners = {"k": 1, "r": 2}
    found = cut(1, [port("c", "c", "N")], ["k"], text=LOOP, owners=owners)
    assert (found.reached, found.implicit) == ({"c"}, ["h"])
    assert cut(1, [port("h", "h", "N")], ["k"], text=LOOP, owners=owners).implicit == ["c"]
    assert cut(2, [port("k", "k", "N")], ["r"], text=LOOP, owners=owners).implicit == []


def test_a_loop_is_taken_with_what_its_body_captures() -> None:
    found = cut(1, [port("h", "h", "N")], ["y"], text=LOOP, owners={"y": 1})
    assert (found.reached, found.implicit) == ({"h"}, ["n"])
