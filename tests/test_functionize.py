"""Functions for module calls: the same graph once they are inlined, the same numbers in ONNX Runtime, one function for a form."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import test_bodies
import test_hard_modules
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from torch import nn
from transformers import BertConfig, BertModel

import hx
from hx_extractor import Hierarchy, save_model
from hx_graph import NAMES, drawing_nodes, nodes_in
from hx_sidecar_schema import HxError
from hx_surgery import functionize

CASES = {make.__name__: make for make in (*test_hard_modules.CASES, *test_bodies.CASES)}


def run(path: Path, feeds: dict[str, Any], **entries: str) -> list[Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    for name, value in entries.items():
        options.add_session_config_entry(f"session.{name}", value)
    return ort.InferenceSession(path, options).run(None, feeds)


def held(model: Hierarchy, path: Path) -> Hierarchy:
    """Hold the file of a model with functions against the model: one topology, the same calls and numbers."""
    onnx.checker.check_model(path, full_check=True)
    after = hx.load(path)
    assert hx.compare(model, after).same
    assert after.sidecar.calls == model.sidecar.calls
    assert {row.key: row for row in after.sidecar.nodes} == {row.key: row for row in model.sidecar.nodes}
    assert hx.validate(path).valid
    if drawing_nodes(node for _, node in nodes_in(model.model.graph)):
        return after
    save_model(after.model, after.sidecar, flat := path.with_name("flat.onnx"), "copy", path.parent)
    save_model(model.model, model.sidecar, before := path.with_name("before.onnx"), "copy", model.folder)
    feeds = model.example_inputs()
    expected = run(before, feeds)
    for found in (run(flat, feeds), run(path, feeds), run(path, feeds, disable_aot_function_inlining="1")):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    return after


@pytest.mark.parametrize("name", CASES)
def test_hard_modules_and_bodies(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, inputs, *_ = CASES[name]()
    model = hx.export(module.eval(), kwargs=inputs, verify=False)
    report = hx.functionize(model, tmp_path / "functions.onnx")
    held(model, tmp_path / "functions.onnx")
    assert report.left == []


@pytest.mark.parametrize(
    ("spec", "dynamic", "strategy"),
    [
        ("tiny:t5", True, "dynamo"),
        ("tiny:llama", True, "dynamo"),
        ("tiny:swin", False, "dynamo"),
        ("tiny:vit", True, "htp"),
    ],
)
def test_architectures(spec: str, dynamic: bool, strategy: str, tmp_path: Path) -> None:
    model = hx.export(spec, dynamic=dynamic, strategy=strategy, verify=False)
    hx.functionize(model, tmp_path / "functions.onnx")
    held(model, tmp_path / "functions.onnx")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Hierarchy:
    """A BERT of twelve layers."""
    torch.manual_seed(0)
    config = BertConfig(
        num_hidden_layers=12, hidden_size=32, num_attention_heads=2, intermediate_size=64, vocab_size=99
    )
    model = BertModel(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)  # zeros of two biases would be one initializer
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    path = tmp_path_factory.mktemp("bert") / "bert.onnx"
    return hx.export(model, (torch.randint(0, 99, (2, 8)), mask), path, verify=False)


def test_twelve_layers_are_one_function(bert: Hierarchy, tmp_path: Path) -> None:
    path = tmp_path / "functions.onnx"
    report = hx.functionize(bert, path)
    held(bert, path)
    assert report.nodes <= 20
    layer = next(one for one in report.functions if one.name == "BertLayer")
    assert layer.domain == "pkg.hx.transformers.models.bert.modeling_bert.BertLayer"
    assert len(layer.calls) == 12
    assert layer.inputs[0] == "hidden_states"
    assert layer.outputs == ["output"]
    forms = [one.name.rpartition("_")[0] for one in report.functions if one.name.rpartition("_")[2].isdigit()]
    assert {*forms} <= {"Linear", "Embedding"}  # of other sizes
    assert sum(len(one.calls) for one in report.functions) > 100


def test_a_file_without_weights_is_small(bert: Hierarchy, tmp_path: Path) -> None:
    hx.functionize(bert, tmp_path / "functions.onnx")
    save_model(bert.model, bert.sidecar, tmp_path / "flat.onnx", "copy", None)

    def size(path: Path) -> int:
        proto = onnx.load(path)
        for weight in proto.graph.initializer:
            weight.ClearField("raw_data")
        return proto.ByteSize()

    assert size(tmp_path / "functions.onnx") <= size(tmp_path / "flat.onnx") / 4


def test_owners_outlive_optimisation(bert: Hierarchy, tmp_path: Path) -> None:
    hx.functionize(bert, tmp_path / "functions.onnx")
    save_model(bert.model, bert.sidecar, tmp_path / "flat.onnx", "copy", None)
    statuses: list[dict[str, int]] = []
    for name in ("flat", "functions"):
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(tmp_path / f"{name}_optimised.onnx")
        ort.InferenceSession(tmp_path / f"{name}.onnx", options)
        report = hx.relink(tmp_path / f"{name}_optimised.onnx", tmp_path / f"{name}.onnx")
        assert report.nodes < report.original_nodes
        assert report.exact_percent >= 98
        statuses.append(report.calls)
    assert statuses[0] == statuses[1]
    # ONNX Runtime 1.31 leaves the imports of functions that it inlined.
    hx.functionize(tmp_path / "functions_optimised.onnx", tmp_path / "again.onnx")
    assert hx.validate(tmp_path / "again.onnx").valid


def test_every_command_takes_functions(bert: Hierarchy, tmp_path: Path) -> None:
    path = tmp_path / "functions.onnx"
    hx.functionize(bert, path, classes="BertLayer")
    part = hx.extract(path, "encoder.layer.3", tmp_path / "part.onnx")
    assert part.modules[0].max_abs_error == 0
    assert hx.tree(path).calls == hx.tree(bert).calls
    own = {"model": "", "graph_digest": ""}  # nodes may stand in another order
    assert hx.analyze(path).model_copy(update=own) == hx.analyze(bert).model_copy(update=own)
    profile = hx.profile(path, runs=2)
    assert profile.graph_digest == hx.load(path).sidecar.model.graph_digest
    assert {call.fqn for call in profile.calls if call.kernels} > {"encoder.layer.3.attention.self"}
    assert hx.tap(path, "encoder.layer.2", tmp_path / "tapped.onnx").outputs[0].name == "encoder.layer.2.output"
    assert hx.report(path, tmp_path / "page.html").nodes == len(bert.model.graph)
    hx.inline(path, tmp_path / "flat.onnx")
    names = {node.name for node in ir.load(tmp_path / "flat.onnx").graph}
    assert names == {node.name for node in bert.model.graph}


def test_what_becomes_functions_can_be_chosen(bert: Hierarchy, tmp_path: Path) -> None:
    def functions(**choice: Any) -> dict[str, int]:
        report = hx.functionize(bert, tmp_path / "functions.onnx", overwrite=True, **choice)
        held(bert, tmp_path / "functions.onnx")
        return {one.name: len(one.calls) for one in report.functions}

    assert functions(depth=1) == {"BertEmbeddings": 1, "BertEncoder": 1, "BertPooler": 1}
    assert functions(modules="encoder.layer.*", depth=0) == {"BertLayer": 12}
    assert functions(classes=["BertLayer", "Tanh"]) == {"BertLayer": 12, "Tanh": 1}
    assert functions(modules="pooler") == {"BertPooler": 1, "Linear": 1, "Tanh": 1}


@given(st.sets(st.integers(0, 60)))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_choice_of_calls(bert: Hierarchy, tmp_path: Path, rows: set[int]) -> None:
    made = functionize(bert.model, bert.sidecar, rows, file="functions.onnx")
    save_model(made.model, made.sidecar, tmp_path / "functions.onnx", "copy", None)
    after = hx.load(tmp_path / "functions.onnx")
    assert hx.compare(bert, after).same
    assert {row.key for row in after.sidecar.nodes} == {row.key for row in bert.sidecar.nodes}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for files whose sidecars are known to lie."""
    with TemporaryDirectory() as path:
        yield Path(path)


@pytest.mark.parametrize("seed", range(6))
def test_nodes_may_belong_to_whatever_call(bert: Hierarchy, folder: Path, seed: int) -> None:
    """Optimisers move nodes, and files made elsewhere may say anything."""
    chance = random.Random(seed)
    share = chance.choice((0.02, 0.2, 1.0))
    calls = range(len(bert.sidecar.calls))
    nodes = [
        row.model_copy(update={"owner": chance.choice(calls)}) if chance.random() < share else row
        for row in bert.sidecar.nodes
    ]
    sidecar = bert.sidecar.model_copy(update={"nodes": nodes})
    made = functionize(bert.model, sidecar, calls, file="functions.onnx")
    save_model(made.model, made.sidecar, folder / "functions.onnx", "copy", None)
    assert hx.compare(bert, folder / "functions.onnx").same
    assert {row.key: row.owner for row in made.sidecar.nodes} == {row.key: row.owner for row in nodes}
    ort.InferenceSession(folder / "functions.onnx")


class Interleaved(nn.Module):
    """What the second child computes last stands behind what reads its first result."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x).relu() + self.inner(x + 1)


def test_a_call_may_end_behind_what_reads_it(folder: Path) -> None:
    model = hx.export(nn.Sequential(Interleaved()).eval(), (torch.randn(2, 4),))
    sidecar = model.sidecar
    [first, second] = [call.row for call in model.calls("0.inner@*")]
    rows = [row.model_copy(update={"owner": first}) if second <= row.owner else row for row in sidecar.nodes]
    rows = [row.model_copy(update={"owner": 1}) if row.op_type == "Relu" else row for row in rows]
    sidecar = sidecar.model_copy(update={"nodes": rows})
    made = functionize(model.model, sidecar, range(len(sidecar.calls)), file="functions.onnx")
    save_model(made.model, made.sidecar, folder / "functions.onnx", "copy", None)
    assert hx.compare(model, folder / "functions.onnx").same
    assert sum(len(one.calls) for one in made.functions) >= 3


def test_names_that_a_tool_took_are_replaced(bert: Hierarchy, tmp_path: Path) -> None:
    path = tmp_path / "functions.onnx"
    hx.functionize(bert, path)
    proto = onnx.load(path)
    for node in proto.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key != NAMES]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(proto, path)
    report = hx.relink(path, bert, tmp_path / "relinked.json")
    assert hx.compare(bert, path).same
    assert report.exact_percent == 100


class Twofold(nn.Module):
    """What two calls of a module compute alike is made once, and belongs to the first of them."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.ModuleList([Masked(), Masked()])

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        for block in self.block:
            x = block(x, mask)
        return x


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + torch.where(mask, 0.0, -1e4)


def test_what_optimisers_merged_is_outside_of_functions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(2, 4), torch.tensor([[True, False, True, True]])
    model = hx.export(Twofold().eval(), inputs)
    report = hx.functionize(model, tmp_path / "functions.onnx")
    held(model, tmp_path / "functions.onnx")
    assert [len(one.calls) for one in report.functions if one.name == "Masked"] == [2]


def test_a_sidecar_inside_the_file_is_written_anew(tmp_path: Path) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(2, 4), torch.tensor([[True, False, True, True]])
    hx.export(Twofold().eval(), inputs, tmp_path / "model.onnx", embed=True)
    hx.functionize(tmp_path / "model.onnx", tmp_path / "functions.onnx")
    (tmp_path / "functions_hierarchy.json").unlink()
    assert [call.tag for call in hx.load(tmp_path / "functions.onnx")] == [
        call.tag for call in hx.load(tmp_path / "model.onnx")
    ]


def test_refusals(bert: Hierarchy, tmp_path: Path) -> None:
    save_model(bert.model, bert.sidecar, tmp_path / "flat.onnx", "copy", None)
    with pytest.raises(HxError) as error:
        hx.inline(tmp_path / "flat.onnx", tmp_path / "other.onnx")
    assert error.value.code == "HX413"
    with pytest.raises(HxError) as error:
        hx.functionize(bert, tmp_path / "other.onnx", modules="pooler", classes="BertLayer")
    assert error.value.code == "HX413"
    with pytest.raises(HxError) as error:
        hx.functionize(tmp_path / "flat.onnx", tmp_path / "flat.onnx", overwrite=True)
    assert error.value.code == "HX408"
    assert not (tmp_path / "other.onnx").exists()


def test_calls_that_need_each_other_are_told(tmp_path: Path) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { a = Neg(x) b = Relu(a) y = Neg(b) }
        """
    model = onnx.parser.parse_model(text)
    for node, name in zip(model.graph.node, ("/first/Neg", "/second/Relu", "/first/Neg_1"), strict=True):
        node.name = name
    onnx.save(model, tmp_path / "model.onnx")
    hx.project(tmp_path / "model.onnx")
    report = hx.functionize(tmp_path / "model.onnx", tmp_path / "functions.onnx")
    assert report.left == ["/Model/first"] or [tag.rpartition("/")[2] for tag in report.left] == ["first"]
    assert [len(one.calls) for one in report.functions] == [1]
    with pytest.raises(HxError, match="what it reads depends on what it gives") as error:
        hx.functionize(tmp_path / "model.onnx", tmp_path / "other.onnx", modules="first")
    assert error.value.code == "HX413"
