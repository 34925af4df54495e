"""Nodes without a name of their own are found by their place, or not told apart."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from hx_profiler._run import unique_node_names

UNNAMED = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[4,4] x) => (float[4,4] w) {
    a = Relu(x)
    b = Tanh(x)
    [sum] c = Add(a, b)
    w = Relu(c)
}
"""
CALLS = [("", None), ("block", 0), ("block.a", 1), ("block.b", 1)]
OWNERS = {"a": 2, "b": 3, "c": 1, "w": 3}


@pytest.fixture
def kernels_of(profile_of):
    """Kernels of a profile of the unnamed model, by name."""
    return lambda path: {kernel.name: kernel for kernel in profile_of(path, UNNAMED, CALLS, OWNERS).kernels}


@pytest.mark.parametrize(
    "starts", [(10, 20, 30, 40), (20, 10, 30, 40)], ids=["in the file's order", "in the order of indices"]
)
def test_nodes_without_names_are_found_by_their_place(trace_file, kernels_of, starts):
    a, b, c, w = starts
    rows = [
        ("Relu_0", "Relu", 0, a, 1),
        ("Tanh_1", "Tanh", 1, b, 2),
        ("sum", "Add", 2, c, 3),
        ("Relu_3", "Relu", 3, w, 4),
    ]
    kernels = kernels_of(trace_file(rows))
    assert {name: kernel.node for name, kernel in kernels.items()} == {
        "Relu_0": "a",
        "Tanh_1": "b",
        "sum": "c",
        "Relu_3": "w",
    }


def test_nodes_that_no_place_tells_apart_count_for_the_call_around_them(trace_file, kernels_of):
    """One kernel too many: positions say nothing any more."""
    rows = [
        ("Relu_0", "Relu", 0, 10, 1),
        ("Memcpy_8", "Memcpy", 8, 12, 9),
        ("Tanh_1", "Tanh", 1, 30, 2),
        ("sum", "Add", 2, 40, 3),
        ("Relu_3", "Relu", 3, 50, 4),
    ]
    kernels = kernels_of(trace_file(rows))
    assert kernels["Tanh_1"].node == "b"  # the only one of its operator
    for name in ("Relu_0", "Relu_3"):
        kernel = kernels[name]
        assert (kernel.node, kernel.call, kernel.covers) == (None, 1, [2, 3])
        assert kernel.reason == "One of 2 nodes that the profile does not tell apart."
    assert kernels["Memcpy_8"].call is None


def test_two_orders_that_both_fit_but_disagree_decide_nothing(trace_file, profile_of):
    text = UNNAMED.replace("Tanh(x)", "Relu(x)")
    rows = [
        ("Relu_0", "Relu", 0, 20, 1),
        ("Relu_1", "Relu", 1, 10, 2),
        ("sum", "Add", 2, 30, 3),
        ("Relu_3", "Relu", 3, 40, 4),
    ]
    profile = profile_of(trace_file(rows), text, CALLS, OWNERS)
    found = {kernel.name: (kernel.node, kernel.call) for kernel in profile.kernels}
    assert found == {"Relu_0": (None, 1), "Relu_1": (None, 1), "sum": ("c", 1), "Relu_3": ("w", 3)}


def test_a_name_that_looks_like_another_nodes_index_is_not_taken_for_it(trace_file, profile_of):
    """ONNX Runtime calls the unnamed node `Relu_1` too."""
    text = UNNAMED.replace("a = Relu(x)\n    b = Tanh(x)", "[Relu_1] a = Relu(x)\n    b = Relu(a)")
    rows = [
        ("Relu_1", "Relu", 0, 10, 1),
        ("Relu_1", "Relu", 1, 20, 2),
        ("sum", "Add", 2, 30, 3),
        ("Relu_3", "Relu", 3, 40, 4),
    ]
    profile = profile_of(trace_file(rows), text, CALLS, OWNERS)
    assert [(kernel.node, kernel.self_us) for kernel in profile.kernels] == [("a", 1), ("b", 2), ("c", 3), ("w", 4)]


def test_names_are_made_unique_in_bodies_and_functions_too():
    text = """
    <ir_version: 10, opset_import: ["" : 20, "my" : 1]>
    net (float[4,4] x, bool c) => (float[4,4] z) {
        [same] y = my.twice(x)
        [same] z = If(c) <
            then_branch = yes () => (float[4,4] u) { [same] u = Relu(y) },
            else_branch = no () => (float[4,4] v) { v = Tanh(y) }>
    }
    <domain: "my", opset_import: ["" : 20]>
    twice (p) => (q) { [same] q = Add(p, p) }
    """
    model = ir.from_onnx_text(text)

    def names() -> list[str | None]:
        nodes = [*ir.traversal.RecursiveGraphIterator(model.graph), *(n for f in model.functions.values() for n in f)]
        return [node.name for node in nodes]

    before = names()
    with unique_node_names(model) as renamed:
        assert renamed
        assert names()[0] == "same"
        assert len(set(names())) == len(names()) == 5
        with unique_node_names(model) as again:
            assert not again
    assert names() == before
