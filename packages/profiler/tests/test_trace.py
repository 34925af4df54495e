"""Profiles of ONNX Runtime, whole and damaged."""

from __future__ import annotations

import json

import pytest

from hx_profiler import read_trace
from hx_sidecar_schema import HxError

KERNEL = ("one", "Relu", 0, 10, 5)


def test_the_first_runs_can_be_left_out(trace_file):
    trace = read_trace(trace_file([KERNEL], [("one", "Relu", 0, 50, 6)], [("one", "Relu", 0, 90, 7)]))
    assert [event.run for event in trace.events] == [0, 1, 2]
    rest = trace.without_first(2)
    assert [(event.run, event.duration_us) for event in rest.events] == [(0, 7)]
    assert len(rest.runs) == 1


def test_kernels_of_an_unfinished_run_are_left_out_and_counted(trace_file):
    path = trace_file([KERNEL])
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([*rows, {**rows[0], "ts": 500}]))
    trace = read_trace(path)
    assert (len(trace.events), trace.outside) == (1, 1)


def test_runs_at_the_same_time_are_told_apart_by_their_threads(trace_file):
    path = trace_file([KERNEL])
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([*rows, *({**row, "tid": 8, "ts": row["ts"] + 1} for row in rows)]))
    trace = read_trace(path)
    assert [(run.thread, run.start_us) for run in trace.runs] == [(7, 9), (8, 10)]
    assert [event.run for event in trace.events] == [0, 1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('[{"cat": "Node"', "cut short"),
        ('"text"', "no list of events"),
        ("[]", "no `model_run`"),
        ('[{"cat": "Node", "name": "a_kernel_time", "dur": 1}]', "not as ONNX Runtime writes it"),
    ],
)
def test_a_damaged_profile_says_what_is_wrong(tmp_path, content, reason):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(HxError, match=reason) as caught:
        read_trace(path)
    assert caught.value.code == "HX308"


def test_a_missing_profile_is_named(tmp_path):
    with pytest.raises(HxError, match="No such file"):
        read_trace(tmp_path / "none.json")
