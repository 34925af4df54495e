"""Every microsecond of every kernel counts once."""

from __future__ import annotations

import pytest

from hx_profiler import by_module, slowest

TWO = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[4,4] x) => (float[4,4] z) {
    [one] y = Relu(x)
    [two] z = Tanh(y)
}
"""


def assert_conserved(profile):
    assert sum(call.self_us for call in profile.calls) + profile.unattributed_us == profile.kernels_us
    assert sum(kernel.self_us for kernel in profile.kernels) == profile.kernels_us
    assert sum(kernel.self_us for kernel in profile.unattributed()) == profile.unattributed_us
    assert profile.calls[0].total_us + profile.unattributed_us == profile.kernels_us
    for position, call in enumerate(profile.calls):
        below = sum(one.total_us for one in profile.calls if one.parent == position)
        assert call.total_us == call.self_us + below


def test_kernels_in_bodies_count_once(branching, measure):
    measurement = measure(branching)
    profile = measurement.profile
    assert_conserved(profile)
    assert profile.unattributed() == []
    kernels = {kernel.name: kernel for kernel in profile.kernels}
    loop, branch, yes, inner = (kernels[name] for name in ("loop", "branch", "yes", "inner"))
    assert (inner.executions, yes.executions, loop.executions) == (12, 12, 4)  # three rounds, four runs
    assert "no" not in kernels
    assert loop.self_us == loop.total_us - inner.total_us - branch.total_us - kernels["keep"].total_us
    assert branch.self_us == branch.total_us - yes.total_us
    root, block, innermost = profile.calls
    assert block.self_us == loop.self_us + kernels["keep"].self_us
    assert innermost.total_us == inner.self_us + branch.self_us + yes.self_us
    assert (root.kernels, root.own_kernels, block.kernels) == (7, 2, 5)


def test_an_inner_kernel_may_seem_to_end_later_than_the_one_around_it(trace_file, profile_of, branching_net):
    """Both ends are cut to whole microseconds."""
    path = trace_file(
        [
            ("first", "MatMul", 0, 10, 4),
            ("inner", "MatMul", 1, 21, 5),
            ("yes", "MatMul", 0, 27, 4),
            ("branch", "If", 2, 26, 5),
            ("keep", "Identity", 0, 31, 3),
            ("loop", "Loop", 1, 20, 13),
            ("last", "Relu", 2, 40, 2),
        ]
    )
    profile = profile_of(path, *branching_net)
    assert_conserved(profile)
    assert profile.kernels_us == 4 + 13 + 2
    assert [call.self_us for call in profile.calls] == [6, 0 + 3, 5 + 1 + 4]


def test_a_kernel_that_is_in_no_graph_is_unattributed_and_shown(trace_file, profile_of):
    path = trace_file([("one", "Relu", 0, 10, 5), ("Memcpy_9", "MemcpyToHost", 9, 16, 7), ("two", "Tanh", 1, 30, 2)])
    profile = profile_of(path, TWO)
    assert_conserved(profile)
    (lost,) = profile.unattributed()
    assert (lost.op_type, lost.self_us, profile.unattributed_us) == ("MemcpyToHost", 7, 7)
    assert "ONNX Runtime's own" in lost.reason


def test_a_node_that_the_sidecar_lacks_is_unattributed(trace_file, profile_of):
    path = trace_file([("one", "Relu", 0, 10, 5), ("two", "Tanh", 1, 30, 2)])
    (lost,) = profile_of(path, TWO, missing=["z"]).unattributed()
    assert (lost.node, lost.reason) == ("z", "The sidecar does not have this node.")


def test_a_fused_node_counts_for_the_call_around_and_is_marked(trace_file, profile_of):
    calls = [("", None), ("block", 0), ("block.a", 1), ("block.b", 1)]
    path = trace_file([("one", "Relu", 0, 10, 5), ("two", "Tanh", 1, 30, 2)])
    profile = profile_of(path, TWO, calls, {"y": 1, "z": 3}, covers={"y": [2, 3]})
    block = profile.calls[1]
    assert (block.self_us, block.spanning_us, block.total_us) == (5, 5, 7)
    assert profile.kernels[0].covers == [2, 3]
    assert profile.calls[3].spanning_us == 0


def test_medians_are_of_runs(trace_file, profile_of):
    runs = [[("one", "Relu", 0, 100 * n, 5), ("two", "Tanh", 1, 100 * n + 6, d)] for n, d in enumerate((2, 60, 4), 1)]
    profile = profile_of(trace_file(*runs), TWO)
    root = profile.calls[0]
    assert (profile.runs, root.total_us, root.median_us, root.spread_us) == (3, 81, 9.0, 29.0)
    assert (profile.kernels_median_us, profile.typical_us, root.typical_us) == (9.0, 9.0, 9.0)


def test_typical_times_add_up_whatever_interrupts_a_kernel_in_each_run(trace_file, profile_of):
    """Every run takes 100 us, of which an interruption has 90: once in this kernel, once in that one."""
    runs = [
        [("one", "Relu", 0, 1000 * n, one), ("two", "Tanh", 1, 1000 * n + 200, two)]
        for n, (one, two) in enumerate(((94, 6), (4, 96), (4, 6)), 1)
    ]
    calls = [("", None), ("a", 0), ("b", 0)]
    profile = profile_of(trace_file(*runs), TWO, calls, {"y": 1, "z": 2})
    assert [call.typical_us for call in profile.calls] == [10.0, 4.0, 6.0]
    assert (profile.calls[0].median_us, profile.kernels_us) == (100.0, 210)


def test_calls_of_one_module_are_counted_together_and_the_slowest_module_is_first(trace_file, profile_of):
    path = trace_file([("one", "Relu", 0, 10, 5), ("two", "Tanh", 1, 30, 2)])
    profile = profile_of(path, TWO, [("", None), ("a", 0), ("a", 0), ("b", 0)], {"y": 1, "z": 2})
    assert [call.calls for call in profile.calls] == [1, 2, 2, 1]
    assert slowest(profile)[0] == by_module(profile)[1]
    assert (slowest(profile)[0].fqn, slowest(profile)[0].calls, slowest(profile)[0].self_us) == ("a", 2, 7.0)


def test_a_module_inside_itself_counts_once(trace_file, profile_of):
    path = trace_file([("one", "Relu", 0, 10, 5), ("two", "Tanh", 1, 30, 2)])
    profile = profile_of(path, TWO, [("", None), ("a", 0), ("a", 1)], {"y": 1, "z": 2})
    modules = {module.fqn: module for module in by_module(profile)}
    assert (modules["a"].total_us, modules["a"].self_us) == (7.0, 7.0)


@pytest.mark.parametrize("optimization", ["basic", "extended", "all"])
def test_time_is_conserved_where_the_sidecar_is_of_another_graph(branching, measure, optimization):
    assert_conserved(measure(branching, optimization=optimization).profile)
