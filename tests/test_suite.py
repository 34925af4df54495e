"""Suites of modules: every form once, runnable by the runners of others, and the same bytes from the same models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from backend_models import models, with_modules
from suites import backend_failures, folder_faults
from torch import nn
from transformers import BertConfig, BertModel

import hx
from hx.records.suite import SuiteReport
from hx_sidecar_schema import HxError


def bert(layers: int) -> hx.Hierarchy:
    torch.manual_seed(layers)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40}
    model = BertModel(BertConfig(num_hidden_layers=layers, max_position_embeddings=16, **sizes))
    kwargs = {"input_ids": torch.randint(0, 40, (2, 8)), "attention_mask": torch.tensor([[1] * 8, [1] * 5 + [0] * 3])}
    return hx.export(model.eval(), kwargs=kwargs, verify=False)


class Block(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.act(self.linear(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.rest = Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.rest(x).tanh()


@pytest.fixture(scope="module")
def net() -> hx.Hierarchy:
    return hx.export(Net().eval(), (torch.randn(2, 4),), verify=False)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def classes(report: SuiteReport) -> list[str]:
    return sorted(case.class_name for case in report.suite.cases)


def test_four_layers_have_the_forms_of_one(tmp_path: Path) -> None:
    """But for the two calls that hold all layers: the encoder and the whole model."""
    one, four = hx.suite(bert(1), tmp_path / "one").suite, hx.suite(bert(4), tmp_path / "four").suite
    known, forms = ({case.form for case in suite.cases} for suite in (one, four))
    assert len(four.cases) == len(one.cases) + 1
    assert sorted(case.class_name for case in four.cases if case.form not in known) == ["BertEncoder", "BertModel"]
    assert [case.class_name for case in one.cases if case.form not in forms] == ["BertModel"]
    layer = next(case for case in four.cases if case.class_name == "BertLayer")
    assert layer.calls == 4
    assert not backend_failures(tmp_path / "four")
    assert not folder_faults(tmp_path / "four")


@pytest.mark.parametrize("by", ["call", "block", "operator"])
def test_every_case_passes_the_runners(net: hx.Hierarchy, tmp_path: Path, by: str) -> None:
    report = hx.suite(net, tmp_path / "suite", by=by, npz=True)
    assert report.suite.cases
    assert not report.suite.left_out
    assert not backend_failures(tmp_path / "suite")
    assert not folder_faults(tmp_path / "suite")
    for case in report.suite.cases:
        folder = tmp_path / "suite" / case.name
        assert {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        } == case.files.keys()
        with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
            found = onnx.reference.ReferenceEvaluator(str(folder / "model.onnx")).run(None, dict(inputs))
            for array, expected in zip(found, outputs.values(), strict=True):
                np.testing.assert_allclose(array, expected, atol=case.atol, rtol=case.rtol)


def test_a_case_that_computes_something_else_does_not_pass(net: hx.Hierarchy, tmp_path: Path) -> None:
    """The tolerances are such that an error can be seen."""
    report = hx.suite(net, tmp_path / "suite")
    case = next(case for case in report.suite.cases if case.class_name == "Linear")
    path = tmp_path / "suite" / case.name / "test_data_set_0" / "output_0.pb"
    tensor = onnx.TensorProto.FromString(path.read_bytes())
    wrong = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * np.float32(1.01), tensor.name)
    path.write_bytes(wrong.SerializeToString())
    assert [text.partition(" ")[0] for text in backend_failures(tmp_path / "suite")] == [
        f"{case.name.partition('/')[2]}_cpu"
    ]


def test_blocks_are_entries_of_lists_and_what_is_around_them(net: hx.Hierarchy, tmp_path: Path) -> None:
    cases = {case.class_name: case for case in hx.suite(net, tmp_path / "suite", by="block").suite.cases}
    assert cases.keys() == {"Block", "Linear"}
    assert cases["Block"].calls == 4
    assert cases["Linear"].examples == ["net.onnx:first"]


def test_operators_are_nodes_once_for_types_and_sizes(net: hx.Hierarchy, tmp_path: Path) -> None:
    cases = hx.suite(net, tmp_path / "suite", by="operator").suite.cases
    assert {case.class_name: case.calls for case in cases} == {"Add": 4, "Gemm": 5, "Relu": 4, "Tanh": 1}
    assert all(case.nodes == 1 for case in cases)


def test_few_cases_hold_every_operator(net: hx.Hierarchy, tmp_path: Path) -> None:
    whole, few = (hx.suite(net, tmp_path / f"{cover}", cover=cover).suite for cover in (False, True))
    assert not few.not_covered
    assert {text for case in few.cases for text in case.operators} == {
        text for case in whole.cases for text in case.operators
    }
    assert [case.class_name for case in few.cases] == ["Net"]


def test_a_second_run_writes_nothing(net: hx.Hierarchy, tmp_path: Path) -> None:
    hx.suite(net, tmp_path / "suite", npz=True)
    before = snapshot(tmp_path / "suite")
    report = hx.suite(hx.export(Net().eval(), (torch.randn(2, 4),), verify=False), tmp_path / "other", npz=True)
    again = hx.suite(net, tmp_path / "suite", npz=True)
    assert again.written == 0
    assert again.removed == []
    assert snapshot(tmp_path / "suite") == before
    assert [case.form for case in report.suite.cases] == [case.form for case in again.suite.cases]


def test_what_is_no_part_of_a_suite_any_more_goes(net: hx.Hierarchy, tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    hx.suite(net, folder)
    before = snapshot(folder)
    (folder / "notes.txt").write_text("mine")
    report = hx.suite(net, folder, by="operator")
    assert {path.name for path in folder.iterdir()} == {"operator", "manifest.json", "notes.txt"}
    assert set(report.removed) == before.keys() - {"manifest.json"}
    hx.suite(net, folder)
    assert {name: content for name, (content, _) in snapshot(folder).items() if name != "notes.txt"} == {
        name: content for name, (content, _) in before.items()
    }


def test_what_somebody_changed_is_neither_replaced_nor_removed(net: hx.Hierarchy, tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    first = hx.suite(net, folder).suite.cases[0].name
    mine = folder / first / "data.json"
    mine.write_text("{}")
    with pytest.raises(HxError) as caught:
        hx.suite(net, folder)
    assert caught.value.code == "HX402"
    assert hx.suite(net, folder, by="operator").changed == [f"{first}/data.json"]
    assert mine.read_text() == "{}"
    assert hx.suite(net, folder, overwrite=True).written
    assert mine.read_text() != "{}"


def test_a_folder_of_other_things_is_refused(net: hx.Hierarchy, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "manifest.json").write_text(json.dumps({"cases": []}))
    with pytest.raises(HxError) as caught:
        hx.suite(net, tmp_path)
    assert caught.value.code == "HX402"
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", "manifest.json"}


def test_a_manifest_cannot_name_files_outside(net: hx.Hierarchy, tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    report = hx.suite(net, folder).suite
    outside = tmp_path / "precious"
    outside.write_bytes((folder / report.cases[0].name / "model.onnx").read_bytes())
    digest = report.cases[0].files["model.onnx"]
    case = report.cases[0].model_copy(update={"name": "../..", "files": {f"{tmp_path.name}/precious": digest}})
    near = report.cases[0].model_copy(update={"name": "call", "files": {"../../precious": digest}})
    lying = report.model_copy(update={"cases": [case, near]})
    (folder / "manifest.json").write_text(lying.model_dump_json())
    hx.suite(net, folder, overwrite=True)
    assert outside.exists()


def test_models_share_forms_and_one_that_cannot_be_read_costs_no_other(net: hx.Hierarchy, tmp_path: Path) -> None:
    for name in ("a", "b"):
        net.save(tmp_path / name / "net.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    files = [tmp_path / "a" / "net.onnx", broken, tmp_path / "b" / "net.onnx"]
    report = hx.suite(files, tmp_path / "suite")
    alone = hx.suite(net, tmp_path / "alone")
    assert [case.form for case in report.suite.cases] == [case.form for case in alone.suite.cases]
    assert all(case.calls == 2 * one.calls for case, one in zip(report.suite.cases, alone.suite.cases, strict=True))
    assert [model.name for model in report.suite.models] == ["a/net.onnx", "broken.onnx", "b/net.onnx"]
    assert [bool(model.reason) for model in report.suite.models] == [False, True, False]
    assert str(tmp_path) not in (tmp_path / "suite" / "manifest.json").read_text()
    with pytest.raises(HxError) as caught:
        hx.suite([broken, broken], tmp_path / "none")
    assert caught.value.code in ("HX202", "HX301")
    assert not (tmp_path / "none").exists()
    with pytest.raises(HxError):
        hx.suite([], tmp_path / "none")


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.noise = Noise()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.noise(x))


class Noise(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x)


def test_models_of_one_name_are_told_apart_and_one_named_twice_counts_once(tmp_path: Path) -> None:
    small = hx.export(nn.Sequential(nn.Linear(4, 4)), (torch.ones(2, 4),))
    large = hx.export(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), (torch.ones(2, 4),))
    found = hx.suite([small, large, small], tmp_path / "suite").suite
    assert [(model.name, model.calls) for model in found.models] == [("sequential.onnx", 2), ("sequential.onnx#2", 3)]
    linear = max(found.cases, key=lambda case: case.calls)
    assert linear.models == {"sequential.onnx": 2, "sequential.onnx#2": 2}  # of one layer it is the whole model too

    hx.tap(small, "0", tmp_path / "small.onnx")
    twice = hx.suite([tmp_path / "small.onnx", f"{tmp_path}/./small.onnx"], tmp_path / "twice").suite
    assert [model.name for model in twice.models] == ["small.onnx"]


def test_what_draws_random_numbers_is_left_out(tmp_path: Path) -> None:
    """A part behind the noise has the same input and output of one run."""
    exported = hx.export(Noisy().eval(), (torch.randn(2, 4),), verify=False)
    report = hx.suite(exported, tmp_path / "suite")
    assert classes(report) == ["Block", "Linear", "ReLU"]
    assert {form.class_name: form.reason for form in report.suite.left_out} == dict.fromkeys(
        ["Noisy", "Noise"], "It draws random numbers: RandomNormalLike."
    )
    assert [text.partition("(")[0] for text in report.suite.not_covered] == ["RandomNormalLike"]
    assert not backend_failures(tmp_path / "suite")


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, self.block, lambda y: y * 2, (x,))


@pytest.mark.parametrize("by", ["call", "operator"])
def test_control_flow_has_cases(tmp_path: Path, by: str) -> None:
    exported = hx.export(Branching().eval(), (torch.randn(2, 4),), verify=False)
    report = hx.suite(exported, tmp_path / "suite", by=by)
    assert any("If(" in text for case in report.suite.cases for text in case.operators)
    assert not report.suite.not_covered
    assert not backend_failures(tmp_path / "suite")


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("test_sequence_model1", 5),
        ("test_split_to_sequence_1", 1),
        ("test_string_concat_utf8", 1),
        ("test_scan9_sum", 1),
        ("test_loop11", 1),
        ("test_sce_sum_log_prob_expanded", 8),  # whose file says no ranks
        ("test_castlike_FLOAT8E4M3FN_to_FLOAT16", 0),  # which ONNX Runtime's Python API does not take
    ],
)
def test_files_made_elsewhere_have_cases_too(name: str, cases: int, tmp_path: Path) -> None:
    onnx.save(with_modules(models()[name]), tmp_path / "m.onnx")
    hx.project(tmp_path / "m.onnx")
    report = hx.suite(tmp_path / "m.onnx", tmp_path / "suite", by="operator")
    assert len(report.suite.cases) == cases
    assert bool(report.suite.left_out) == (not cases)
    assert not backend_failures(tmp_path / "suite")
    assert not folder_faults(tmp_path / "suite")


def test_large_weights_lie_beside_the_model(tmp_path: Path) -> None:
    exported = hx.export(
        nn.Sequential(nn.Linear(2200, 2200)), (torch.randn(1, 2200),), tmp_path / "x.onnx", verify=False
    )
    report = hx.suite(exported, tmp_path / "suite")
    assert [("model.onnx.data" in case.files) for case in report.suite.cases] == [True]
    assert not backend_failures(tmp_path / "suite")
    assert not folder_faults(tmp_path / "suite")
    shutil.rmtree(tmp_path / "suite")
