"""Profiles beside each other: of two models, and of a call alone."""

from __future__ import annotations

import numpy as np
import pytest

from hx_profiler import Profile, beside_model, compare, time_alone
from hx_sidecar_schema import HxError

TEXT = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[4,4] x) => (float[4,4] z) {
    [one] y = Relu(x)
    [two] w = Tanh(y)
    [three] z = Tanh(w)
}
"""
CALLS = [("", None), ("a", 0), ("b", 0)]


def test_modules_are_compared_by_name_the_largest_change_first(trace_file, profile_of):
    before = profile_of(
        trace_file([("one", "Relu", 0, 10, 5), ("two", "Tanh", 1, 20, 9)]), TEXT, CALLS, {"y": 1, "w": 2}
    )
    later = [("", None), ("a", 0), ("c", 0)]
    after = profile_of(
        trace_file([("one", "Relu", 0, 10, 4), ("two", "Tanh", 1, 20, 3)]), TEXT, later, {"y": 1, "w": 2}
    )
    found = compare(before, after)
    assert (found.run_us, found.ratio) == ((14.0, 7.0), 0.5)
    rows = {row.fqn: row for row in found.modules}
    assert [row.fqn for row in found.modules] == ["b", "c", "a", ""]
    assert (rows["b"].before_us, rows["b"].after_us, rows["b"].change_us, rows["b"].ratio) == (9.0, None, -9.0, None)
    assert (rows["c"].before_us, rows["c"].change_us, rows["c"].ratio) == (None, 3.0, None)
    assert (rows["a"].self_change_us, rows["a"].ratio) == (-1.0, 0.8)
    assert rows[""].change_us == -7.0
    assert rows["a"].kernels == (1, 1)


def test_a_profile_is_read_as_it_was_saved(trace_file, profile_of, tmp_path):
    profile = profile_of(trace_file([("one", "Relu", 0, 10, 5)]), TEXT, CALLS, {"y": 1})
    path = tmp_path / "profile.json"
    path.write_text(profile.model_dump_json())
    assert Profile.load(path) == profile


@pytest.mark.parametrize("content", ["{", "{}", '{"schema_version": "9.0"}'])
def test_what_is_no_profile_is_refused(tmp_path, content, trace_file, profile_of):
    path = tmp_path / "profile.json"
    path.write_text(content)
    if "9.0" in content:
        profile = profile_of(trace_file([("one", "Relu", 0, 10, 5)]), TEXT)
        path.write_text(profile.model_copy(update={"schema_version": "9.0"}).model_dump_json())
    with pytest.raises(HxError) as caught:
        Profile.load(path)
    assert caught.value.code == "HX307"


def test_a_call_is_timed_alone_beside_its_time_in_the_model(write, measure):
    ports = {
        0: ({"x": "x"}, {"output": "z"}),
        1: ({"input": "x"}, {"output": "y"}),
        2: ({"input": "y"}, {"output": "w"}),
    }
    feeds = {"x": np.ones((4, 4), np.float32)}
    model = write(TEXT, CALLS, {"y": 1, "w": 2}, feeds=feeds, ports=ports, covers={"z": [0, 2]})
    profile = measure(model).profile
    found = beside_model(time_alone(model, 2, runs=3, warmup=1, optimization="disable", threads=1), profile)
    assert (found.fqn, found.in_model_kernels, found.alone_kernels, found.more_alone, found.less_alone) == (
        "b",
        1,
        1,
        {},
        {},
    )
    assert found.in_model_us == profile.calls[2].typical_us
    assert found.alone_us is not None
    assert found.wall_warm_us > 0
    assert found.wall_cold_us > found.alone_us
    (spanning,) = found.spanning
    assert (spanning.name, spanning.inside, spanning.outside) == ("three", ["/Net/B"], ["/Net"])


def test_a_call_that_cannot_be_cut_out_says_why(write, measure):
    model = write(TEXT, CALLS, {"y": 1}, feeds={"x": np.ones((4, 4), np.float32)})
    call = model.sidecar.calls[1].model_copy(update={"status": "fused", "reason": "Gone."})
    model.sidecar.calls[1] = call
    profile = measure(model).profile
    found = beside_model(time_alone(model, 1), profile)
    assert found.alone_us is None
    assert found.less_alone == {}
    assert "Gone." in found.reason
    assert found.in_model_us == profile.calls[1].typical_us
