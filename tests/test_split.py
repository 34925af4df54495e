"""A model in stages: run one after the other they are the model, bit for bit, and joined they are it again."""

from __future__ import annotations

import json
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import test_hard_modules
import torch
from hypothesis import given, strategies as st
from torch import nn

import hx
from hx.records.split import SplitReport
from hx_sidecar_schema import HxError
from hx_surgery import Plan
from hx_surgery.stages.balance import SLACK, best_cut


def run(path: Path, feeds: dict[str, Any]) -> dict[str, Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options)
    names = [out.name for out in session.get_outputs()]
    return dict(zip(names, session.run(names, {i.name: feeds[i.name] for i in session.get_inputs()}), strict=True))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def held_to_the_whole(model: Path, folder: Path, report: SplitReport) -> None:
    """Chain the stages by what `stages.json` says, join them, and hold both against the model."""
    exported = hx.load(model)
    record = json.loads((folder / "stages.json").read_text())
    examples = exported.example_inputs()
    values: dict[str, Any] = dict(examples)
    given = {"": set(record["inputs"])}
    for stage in record["stages"]:
        assert all(wire["name"] in given[wire["source"] or ""] for wire in stage["inputs"])
        given[stage["name"]] = {wire["name"] for wire in stage["outputs"]}
        path = folder / stage["file"]
        onnx.checker.check_model(path)
        values |= run(path, values)
        assert hx.validate(path).valid
        assert hx.load(path).example_inputs().keys() == {wire["name"] for wire in stage["inputs"]}
    expected = run(model, examples)
    assert list(expected) == record["outputs"]
    assert all(same(values[name], array) for name, array in expected.items())
    assert report.compared
    whole = folder / "whole.onnx"
    assert hx.join(folder, whole, overwrite=True).same
    assert hx.compare(model, whole).same
    assert hx.validate(whole).valid
    assert hx.load(whole).sidecar.calls == exported.sidecar.calls


def exported(module: nn.Module, args: Any, path: Path, **options: Any) -> Path:
    hx.export(module.eval(), args, path, **options)
    return path


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, width), nn.Linear(width, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(self.up(self.norm(x)).relu())


class Net(nn.Module):
    """A tied table at both ends, a mask that all blocks read, and blocks of several sizes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(50, 16)
        self.blocks = nn.ModuleList(Block(width) for width in (32, 64, 16, 48, 32, 80))

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = (ids > 0).unsqueeze(-1)
        first = x = self.table(ids)
        for block in self.blocks:
            x = block(x * mask)
        return (x + first) @ self.table.weight.T, first


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ids = torch.arange(14).reshape(2, 7)
    return exported(Net(), (ids,), tmp_path_factory.mktemp("net") / "net.onnx", dynamic=True)


@pytest.mark.parametrize("stages", range(2, 7))
def test_stages_are_the_model_bit_for_bit(net: Path, tmp_path: Path, stages: int) -> None:
    report = hx.split(net, stages, tmp_path / "stages")
    assert len(report.stages) == stages
    held_to_the_whole(net, tmp_path / "stages", report)


def test_a_tied_weight_lies_in_the_data_file_once(net: Path, tmp_path: Path) -> None:
    report = hx.split(net, 3, tmp_path / "stages")
    weights = {weight.name: weight for weight in onnx.load(net).graph.initializer}
    places: dict[str, set[str]] = {}
    for stage in report.stages:
        graph = onnx.load(tmp_path / "stages" / stage.file, load_external_data=False).graph
        for weight in graph.initializer:
            places.setdefault(weight.name, set()).add(str(list(weight.external_data)))
    assert places.keys() == weights.keys()
    assert all(len(found) == 1 for found in places.values())
    large = sum(len(weight.raw_data) for weight in weights.values() if len(weight.raw_data) > 256)
    assert 0 < large <= (tmp_path / "stages" / "net_stages.data").stat().st_size <= large + 16 * len(weights)


@pytest.mark.parametrize("stages", [2, 3, 4])
@pytest.mark.parametrize("by", ["weights", "macs"])
def test_no_cut_between_calls_is_more_even(net: Path, tmp_path: Path, stages: int, by: str) -> None:
    report = hx.split(net, stages, tmp_path / "stages", by=by, verify=False)
    plan = Plan(hx.load(net))
    numbers = {"weights": lambda stage: stage.weight_bytes, "macs": lambda stage: stage.macs}[by]
    costs = _costs(plan, net, by)
    best = min(
        max(sum({k: v for row in costs[a:b] for k, v in row.items()}.values()) for a, b in _pairs(cut, len(costs)))
        for cut in combinations(range(1, len(costs)), stages - 1)
    )
    assert best <= max(map(numbers, report.stages)) <= best * (1 + SLACK)


def _pairs(cut: tuple[int, ...], end: int) -> list[tuple[int, int]]:
    return list(zip((0, *cut), (*cut, end), strict=True))


def _costs(plan: Plan, net: Path, by: str) -> list[dict[str, int]]:
    """What the nodes of each step load, by name of the weight or of the node."""
    nodes = {n.output: n.macs or 0 for n in hx.analyze(net, detailed=True).node_list or ()}
    steps: dict[int, dict[str, int]] = {step: {} for step in plan.timeline.taken}
    for node, step, weights in zip(plan.timeline.nodes, plan.timeline.steps, plan.weights, strict=True):
        name = str(node.outputs[0].name)
        steps[step] |= weights if by == "weights" else {name: nodes[name]}
    return list(steps.values())


@given(st.data())
def test_the_cut_is_the_best_one(data: st.DataObject) -> None:
    steps = data.draw(st.integers(2, 8))
    numbers = st.integers(0, 40)
    loads = data.draw(st.lists(numbers, min_size=steps, max_size=steps))
    crossing = data.draw(st.lists(numbers, min_size=steps - 1, max_size=steps - 1))
    shared = data.draw(st.lists(st.dictionaries(st.sampled_from("abcd"), st.just(17)), min_size=steps, max_size=steps))
    stages = data.draw(st.integers(2, steps))

    def loads_of(cut: tuple[int, ...]) -> list[int]:
        return [
            sum(loads[a:b]) + sum({k: v for row in shared[a:b] for k, v in row.items()}.values())
            for a, b in _pairs(cut, steps)
        ]

    def largest(cut: tuple[int, ...]) -> int:
        return max(loads_of(cut))

    def over(cut: tuple[int, ...]) -> int:
        return sum(crossing[place - 1] for place in cut)

    cuts = list(combinations(range(1, steps), stages - 1))
    limit = min(map(largest, cuts)) * (1 + SLACK)
    found = tuple(best_cut(loads, crossing, stages, shared))
    assert largest(found) <= limit
    least = min(over(cut) for cut in cuts if largest(cut) <= limit)
    assert over(found) == least
    alike = [cut for cut in cuts if largest(cut) <= limit and over(cut) == least]
    assert min(loads_of(found)) == max(min(loads_of(cut)) for cut in alike)


def test_stages_begin_where_one_says(net: Path, tmp_path: Path) -> None:
    report = hx.split(net, at=["blocks.2", "blocks.4.up"], output=tmp_path / "stages")
    assert [stage.begins for stage in report.stages] == ["", "blocks.2", "blocks.4.up"]
    assert report.stages[1].calls == ["blocks.2", "blocks.3", "blocks.4.norm"]
    skipped = [wire.name for wire in report.stages[2].inputs if wire.source == "stage_0"]
    assert skipped  # the table's result passes over the second stage
    held_to_the_whole(net, tmp_path / "stages", report)


def test_time_is_balanced_by_a_profile(net: Path, tmp_path: Path) -> None:
    profile = hx.profile(net, runs=3)
    report = hx.split(net, 2, tmp_path / "stages", profile=profile)
    times = [stage.time_us or 0.0 for stage in report.stages]
    assert report.by == "time"
    assert sum(times) == pytest.approx(sum(call.self_typical_us for call in profile.calls), rel=0.01)


def test_a_stage_can_be_cut_and_profiled(net: Path, tmp_path: Path) -> None:
    hx.split(net, at="blocks.3", output=tmp_path / "stages")
    stage = hx.load(tmp_path / "stages" / "net_stage_1.onnx")
    assert stage["blocks.4"].extract().validate().max_abs_error == 0
    assert stage.root.status == "fused"
    assert "holds a part" in stage.root.reason
    assert hx.profile(stage, runs=2).kernels_us > 0


def test_a_changed_stage_is_joined_with_its_calls(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stages"
    hx.split(net, at="blocks.3", output=folder)
    hx.tap(folder / "net_stage_1.onnx", "blocks.4.norm", folder / "tapped.onnx")
    for name in ("{}.onnx", "{}_hierarchy.json"):
        shutil.move(folder / name.format("tapped"), folder / name.format("net_stage_1"))
    report = hx.join(folder, tmp_path / "joined.onnx")
    assert not report.same
    assert hx.validate(tmp_path / "joined.onnx").valid
    examples = hx.load(net).example_inputs()
    expected, found = run(net, examples), run(tmp_path / "joined.onnx", examples)
    assert all(same(found[name], array) for name, array in expected.items())


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.after = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.before(x)
        z = torch.cond(x.sum() > 0, lambda a: self.first(a) + y, lambda a: self.second(a), (x,))
        return self.after(z)


def test_what_a_body_captures_crosses_like_any_other_value(tmp_path: Path) -> None:
    model = exported(Branching(), (torch.ones(2, 4),), tmp_path / "branching.onnx")
    report = hx.split(model, at="after", output=tmp_path / "after")
    held_to_the_whole(model, tmp_path / "after", report)
    report = hx.split(model, 3, tmp_path / "three")
    held_to_the_whole(model, tmp_path / "three", report)
    with pytest.raises(HxError, match="in the body") as error:
        hx.split(model, at="first", output=tmp_path / "first")
    assert error.value.code == "HX416"
    assert not (tmp_path / "first").exists()


def text_model(tmp_path: Path, text: str, *names: str) -> Path:
    """A model from elsewhere, with the modules that its node names tell."""
    path = tmp_path / "text.onnx"
    model = onnx.parser.parse_model(text)
    for node, name in zip(model.graph.node, names, strict=True):
        node.name = name
    onnx.save(model, path)
    hx.project(path)
    return path


def test_sequences_cross_and_what_no_node_makes_is_given(tmp_path: Path) -> None:
    model = text_model(
        tmp_path,
        """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x, float[2] idle) => (float[2] y, float[2] x, float[2] w)
        <float[2] w = {1, 2}> {
          s = SequenceConstruct(x, w)
          zero = Constant<value: tensor = int64 {0}>()
          y = SequenceAt(s, zero)
        }
        """,
        *("/a/Pair", "/b/Zero", "/b/At"),
    )
    report = hx.split(model, 2, tmp_path / "stages", verify=False)
    first, second = report.stages
    assert [wire.name for wire in first.inputs] == ["x", "idle"]
    assert [wire.name for wire in first.outputs] == ["x", "w", "s"]
    assert [wire.name for wire in second.inputs] == ["s"]
    feeds = {"x": np.array([3, 4], np.float32), "idle": np.zeros(2, np.float32)}
    values = feeds | run(tmp_path / "stages" / first.file, feeds)
    values |= run(tmp_path / "stages" / second.file, values)
    assert all(same(values[name], array) for name, array in run(model, feeds).items())
    hx.join(tmp_path / "stages", tmp_path / "whole.onnx")
    assert hx.compare(model, tmp_path / "whole.onnx").same


def test_a_weight_that_nothing_reads_is_in_no_stage_and_has_no_row(tmp_path: Path) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x) => (float[2] y)
        <float[2] idle = {1, 2}> {
          a = Relu(x)
          y = Neg(a)
        }
        """
    model = text_model(tmp_path, text, "/a/Relu", "/b/Neg")
    hx.split(model, 2, tmp_path / "stages", verify=False)
    hx.join(tmp_path / "stages", tmp_path / "whole.onnx")
    assert hx.load(tmp_path / "whole.onnx").sidecar.initializers == []
    assert hx.validate(tmp_path / "whole.onnx").findings == []


@pytest.mark.parametrize("ir_version", [3, 8])
def test_weights_among_inputs_and_outputs_stay_there(tmp_path: Path, ir_version: int) -> None:
    text = """
        <ir_version: %d, opset_import: ["" : 11]>
        g (float[2] w, float[2] x, float[2] v) => (float[2] y, float[2] w, float[2] x)
        <float[2] v = {3, 4}, float[2] w = {1, 2}> {
          a = Add(x, w)
          b = Mul(a, v)
          y = Add(b, w)
        }
        """
    model = text_model(tmp_path, text % ir_version, "/a/Add", "/b/Mul", "/b/Add")
    values = hx.load(model).root.extract().run({"x": np.array([5, 6], np.float32)})
    assert {name: array.tolist() for name, array in values.items()} == {"y": [19, 34], "w": [1, 2], "x": [5, 6]}
    assert hx.split(model, 2, tmp_path / "stages").compared
    assert hx.join(tmp_path / "stages", tmp_path / "whole.onnx").same
    joined = onnx.load(tmp_path / "whole.onnx")
    assert [value.name for value in joined.graph.input] == ["w", "x", "v"]
    assert [value.name for value in joined.graph.initializer] == ["v", "w"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({}, "HX405", "where to cut"),
        ({"into": 2, "at": "blocks.2"}, "HX405", "Both"),
        ({"into": 1}, "HX406", "into 1 stages"),
        ({"into": 99}, "HX416", "steps"),
        ({"into": 2, "by": "size"}, "HX406", "size"),
        ({"into": 2, "by": "time"}, "HX405", "no profile"),
        ({"at": "nowhere"}, "HX401", "nowhere"),
        ({"at": "table"}, "HX416", "first that runs"),
        ({"at": ["blocks.2", "blocks.2.norm"]}, "HX416", "one place"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    net: Path, tmp_path: Path, options: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(HxError, match=words) as error:
        hx.split(net, output=tmp_path / "stages", **options)
    assert error.value.code == code
    assert not (tmp_path / "stages").exists()


def test_what_was_merged_begins_no_stage(tmp_path: Path) -> None:
    module = nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    model = exported(module, (torch.randn(1, 1, 5, 5),), tmp_path / "cnn.onnx")
    with pytest.raises(HxError, match="No stage can begin with call") as error:
        hx.split(model, at="3", output=tmp_path / "stages")
    assert error.value.code == "HX416"


def test_a_second_run_leaves_no_stage_of_the_first(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stages"
    hx.split(net, 4, folder)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(HxError) as error:
        hx.split(net, 2, folder)
    assert error.value.code == "HX402"
    report = hx.split(net, 2, folder, overwrite=True)
    assert len(report.removed) == 4
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *(f"net_stage_{n}{end}" for n in (0, 1) for end in (".onnx", "_hierarchy.json")),
        *("net_stages.data", "stages.json", "whole.json", "mine.txt"),
    }


def test_stages_that_do_not_fit_are_refused(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stages"
    with pytest.raises(HxError) as error:
        hx.join(tmp_path)
    assert error.value.code == "HX311"
    hx.split(net, 2, folder)
    record = json.loads((folder / "stages.json").read_text())
    record["stages"] = record["stages"][1:]
    (folder / "stages.json").write_text(json.dumps(record))
    with pytest.raises(HxError, match="no stage before gives") as error:
        hx.join(folder, tmp_path / "whole.onnx")
    assert error.value.code == "HX312"
    assert not (tmp_path / "whole.onnx").exists()


@pytest.mark.parametrize("change", [{"stages": []}, {"schema_version": "2.0"}, {"stages": [{"name": "x"}]}])
def test_what_is_no_list_of_stages_is_refused(net: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    hx.split(net, 2, tmp_path / "stages", verify=False)
    path = tmp_path / "stages" / "stages.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(HxError) as error:
        hx.join(tmp_path / "stages", tmp_path / "whole.onnx")
    assert error.value.code == "HX311"


def test_nodes_name_their_stages_for_the_runtime(net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "annotated.onnx"
    report = hx.split(net, 3, target, annotate=True)
    assert hx.compare(net, target).same
    assert hx.validate(target).valid
    nodes = onnx.load(target).graph.node
    named = [next(p.value for p in node.metadata_props if p.key == "layer_ann") for node in nodes]
    assert {name: named.count(name) for name in named} == {stage.name: stage.nodes for stage in report.stages}
    examples = hx.load(net).example_inputs()
    options = ort.SessionOptions()
    options.log_severity_level = 1
    options.add_session_config_entry("session.layer_assignment_settings", "cpu(=stage_0, =stage_1); gpu(=stage_2)")
    session = ort.InferenceSession(target, options, providers=["CPUExecutionProvider"])
    log = capfd.readouterr().err
    assert "Parsed 3 annotation-based layering rules" in log
    assert "Layering rule 2 (device='gpu', annotation='stage_2')" in log  # no such device here
    expected = run(net, examples)
    assert all(
        np.allclose(a, b, atol=1e-5) for a, b in zip(session.run(None, examples), expected.values(), strict=True)
    )


def test_a_view_that_another_stage_reads_is_valid(tmp_path: Path) -> None:
    """The exporter names its reader, which is in the other stage."""
    module, inputs = test_hard_modules.read_later()
    hx.export(module.eval(), (), tmp_path / "whole.onnx", kwargs=inputs, verify=False)
    report = hx.split(tmp_path / "whole.onnx", at="text", output=tmp_path / "stages")
    for stage in report.stages:
        assert not hx.validate(tmp_path / "stages" / stage.file).findings
