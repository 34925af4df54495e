"""Running models under ONNX Runtime's profiler."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import hx_profiler._run
from hx_extractor import Hierarchy
from hx_profiler import execute
from hx_sidecar_schema import HxError

REPEATED = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[4,4] x) => (float[4,4] z) {
    [same] y = Relu(x)
    [same] w = Tanh(y)
    z = Tanh(w)
}
"""


def test_nodes_without_names_of_their_own_are_told_apart(write, measure):
    calls, owners = [("", None), ("a", 0), ("b", 0)], {"y": 1, "w": 2}
    model = write(REPEATED, calls, owners, feeds={"x": np.ones((4, 4), np.float32)})
    before = model.path.read_bytes()
    profile = measure(model).profile
    assert [(k.op_type, k.node, k.call) for k in profile.kernels] == [
        ("Relu", "y", 1),
        ("Tanh", "w", 2),
        ("Tanh", "z", 0),
    ]
    assert model.path.read_bytes() == before


def test_only_measured_runs_count(branching, measure):
    profile = measure(branching, runs=3, warmup=2).profile
    assert (profile.runs, len(profile.runs_us), profile.settings.warmup) == (3, 3, 2)
    assert {k.name: k.executions for k in profile.kernels}["first"] == 3


def test_memory_is_taken_where_the_profile_has_it(branching, measure, trace_file, profile_of, branching_net):
    assert measure(branching).profile.calls[0].peak_memory_bytes >= 64
    profile = profile_of(trace_file([("first", "MatMul", 0, 10, 5)]), *branching_net)
    assert profile.calls[0].peak_memory_bytes is None


def test_a_model_in_memory_is_run_and_left_as_it_was(write, measure):
    calls, owners = [("", None), ("a", 0), ("b", 0)], {"y": 1, "w": 2}
    model = write(REPEATED, calls, owners, feeds={"x": np.ones((4, 4), np.float32)})
    names = [node.name for node in model.model.graph]
    in_memory = Hierarchy(None, model.sidecar, model.model)
    profile = measure(in_memory).profile
    assert [(k.op_type, k.node, k.call) for k in profile.kernels] == [
        (k.op_type, k.node, k.call) for k in measure(model).profile.kernels
    ]
    assert [node.name for node in model.model.graph] == names


def test_external_weights_are_read_from_the_models_folder(write, measure, tmp_path, monkeypatch):
    text = """
    <ir_version: 10, opset_import: ["" : 20]>
    net (float[8,8] x, float[8,8] w) => (float[8,8] z) {
        y = MatMul(x, w)
        z = Relu(y)
    }
    """
    held = np.arange(64, dtype=np.float32).reshape(8, 8)
    model = write(text, [("", None)], {}, feeds={"x": np.ones((8, 8), np.float32)})
    proto = onnx.load(model.path)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(held, "w"))
    del proto.graph.input[1]
    onnx.save(proto, model.path, save_as_external_data=True, location="w.data", size_threshold=0)
    feeds = {"x": np.ones((8, 8), np.float32)}
    monkeypatch.chdir("/")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    done = execute(model.path, feeds, folder, runs=1, warmup=0)
    np.testing.assert_array_equal(done.executed.graph.initializers["w"].const_value.numpy(), held)
    assert not (folder / "executed.bin").exists()


def test_a_graph_that_is_too_large_for_one_file_gets_another_for_its_weights(write, tmp_path, monkeypatch):
    model = write(REPEATED, [("", None)], {}, feeds={"x": np.ones((4, 4), np.float32)})
    sessions = []
    made = hx_profiler._run.new_session

    def refuse_first(*args, **options):
        sessions.append(options["entries"])
        if len(sessions) == 1:
            raise HxError("The model does not fit.", code="HX207", hint="")
        return made(*args, **options)

    monkeypatch.setattr("hx_profiler._run.new_session", refuse_first)
    with pytest.raises(HxError, match="does not fit"):
        execute(model.path, model.example_inputs(), tmp_path, runs=1)
    sessions.clear()
    monkeypatch.setattr("hx_profiler._run.LARGE_BYTES", 0)
    assert len(execute(model.path, model.example_inputs(), tmp_path, runs=1).trace.runs) == 1
    key = "session.optimized_model_external_initializers_file_name"
    assert sessions[1][key] == "executed.bin"


@pytest.mark.parametrize(("options", "word"), [({"provider": "tpu"}, "'tpu'"), ({"optimization": "most"}, "'most'")])
def test_an_unknown_option_is_named(branching, tmp_path, options, word):
    with pytest.raises(HxError, match=word) as caught:
        execute(branching.path, branching.example_inputs(), tmp_path, **options)
    assert caught.value.code == "HX406"


def test_a_refusal_has_the_reason_and_no_place_in_the_runtimes_source(tmp_path):
    model = onnx.parser.parse_model(
        '<ir_version: 99, opset_import: ["": 20]> m (float[2] x) => (float[2] y) { y = Relu(x) }'
    )
    (tmp_path / "a b.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(HxError, match="IR version: 99") as caught:
        execute(tmp_path / "a b.onnx", {"x": np.ones(2, np.float32)}, tmp_path)
    assert ".cc" not in caught.value.message


def test_inputs_that_do_not_fit_are_refused(branching, tmp_path):
    feeds = branching.example_inputs() | {"x": np.ones((2, 4), np.float32)}
    with pytest.raises(HxError) as caught:
        execute(branching.path, feeds, tmp_path)
    assert caught.value.code == "HX207"
