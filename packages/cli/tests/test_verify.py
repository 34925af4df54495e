"""`hx verify`: what is named, and what the numbers are."""

from __future__ import annotations

import onnx
import pytest

from hx import load
from hx.records.verify import VerifyReport


def test_a_right_model(exported, verify):
    report = verify(exported("tower"))
    assert (report.exit, report["failed"], report.named) == (0, False, None)
    assert report["compared"] == len(report["calls"]) == 10
    assert not any(entry["wrong"] or entry["reason"] for entry in report["calls"])
    assert all(entry["local"]["relative_error"] < 1e-6 for entry in report["calls"])
    assert all(entry["accumulated"]["relative_error"] < 1e-6 for entry in report["calls"])
    assert VerifyReport.model_validate(report.record).schema_version == "1.2"


def test_a_right_model_in_half_precision(hx, verify, tmp_path):
    """Most calls agree to the last bit, an embedding is off by one: that is no fault."""
    path = tmp_path / "half.onnx"
    assert hx("-q", "export", "tiny:bert", "--dtype", "float16", "-o", path).code == 0
    report = verify(path, "--dtype", "float16", against="tiny:bert")
    assert (report.exit, report.named) == (0, None)
    errors = [entry["local"]["relative_error"] for entry in report["calls"] if entry["local"]]
    assert 1e-5 < max(errors) < 1e-2


def test_what_pytorch_compiles_is_compared_with_nothing_else(exported, verify):
    """Each run begins with the model and the inputs as they were, and the call outside the body is the right one."""
    report = verify(exported("branching"), "--memory", "200B")
    assert (report.exit, report.named, report["batches"]) == (0, None, 4)
    compared = {(entry["fqn"], entry["call"]) for entry in report["calls"] if entry["local"]}
    assert compared == {("", 0), ("table", 0), ("block", 1), ("block.linear", 1)}
    hidden = {(entry["fqn"], entry["call"]) for entry in report["calls"] if "compiles" in entry["reason"]}
    assert hidden == {("block", 0), ("block.linear", 0)}


class TestPlanted:
    """A weight of the ONNX file is wrong."""

    @pytest.mark.parametrize("wrong", ["blocks.0.inner.weight", "blocks.1.norm.bias", "blocks.2.inner.bias"])
    def test_in_an_innermost_call(self, exported, verify, wrong, plant):
        path = exported("tower")
        plant(path, wrong, 2)
        report = verify(path)
        assert report.exit == 1
        assert report.named == wrong.rpartition(".")[0]
        right = [entry for entry in report["calls"] if entry["fqn"] not in ("", wrong[:8], report.named)]
        assert all(entry["local"]["relative_error"] < 1e-6 for entry in right)

    def test_by_one_percent(self, exported, verify, plant):
        path = exported("tower")
        plant(path, "blocks.1.inner.weight")
        assert verify(path).named == "blocks.1.inner"

    def test_a_parameter_of_a_parent(self, exported, verify, plant):
        path = exported("tower")
        plant(path, "blocks.1.scale")
        report = verify(path)
        assert report.named == "blocks.1"
        assert report.of("blocks.1.inner")["local"]["relative_error"] < 1e-6
        assert report.of("blocks.2")["local"]["relative_error"] < 1e-6
        assert report.of("blocks.2")["accumulated"]["relative_error"] > 1e-5

    @pytest.mark.findings("V04")  # it renames the export
    def test_nodes_of_a_parent_between_its_children(self, exported, verify):
        path = exported("tower")
        model = onnx.load(path)
        next(node for node in model.graph.node if node.op_type == "Tanh").op_type = "Sigmoid"
        onnx.save(model, path)
        original = path.with_name("original.onnx")
        exported("tower", "--overwrite").rename(original)
        path.with_name("tower_hierarchy.json").rename(path.with_name("original_hierarchy.json"))
        onnx.save(model, path)
        assert verify(path, "--from", original).named == "blocks.0"

    def test_in_a_module_that_runs_twice(self, exported, verify, plant):
        path = exported("shared")
        plant(path, "blocks.1.inner.weight")
        report = verify(path)
        assert report.named == "blocks.1.inner"
        wrong = {(entry["fqn"], entry["call"]) for entry in report["calls"] if entry["wrong"]}
        assert {("blocks.1.inner", 0), ("blocks.1.inner", 1)} <= wrong

    def test_in_a_call_that_has_no_model_of_its_own(self, exported, verify, plant):
        """Conv and BatchNorm are one node; the call around them is the innermost that can be run."""
        path = exported("fused")
        weight = next(t.name for t in onnx.load(path).graph.initializer if len(t.dims) == 4)
        plant(path, weight, 1.1)
        report = verify(path)
        assert report.of("body.0")["status"] == "fused"
        assert report.of("body.0")["local"] is None
        assert report.named == "body"

    def test_other_weights(self, exported, verify, verify_models):
        """Every call with weights is wrong; that is not what is ordinary in this model."""
        report = verify(exported("tower"), against=f"{verify_models}:other")
        assert report.exit == 1
        assert report.named == "blocks.0.inner"


class TestImplicitInputs:
    """Tensors that a module reaches past its arguments."""

    def test_another_modules_output_is_taken_from_pytorch(self, exported, verify, plant):
        path = exported("gated")
        assert any(port.implicit for call in load(path).sidecar.calls for port in call.inputs)
        plant(path, "gate.weight", 1.1)
        report = verify(path)
        assert report.named == "gate"
        assert report.of("second")["inputs_from_onnx"] == []
        assert report.of("second")["local"]["relative_error"] < 1e-6

    def test_what_only_the_onnx_model_has_is_said(self, exported, verify):
        report = verify(exported("stash"))
        assert report.exit == 0
        (port,) = report.of("second")["inputs_from_onnx"]
        assert port.startswith("implicit.")
        assert len(report.of("first")["nodes_of_others"]) == 1  # the sine, from its own input
        assert report.of("first")["inputs_from_onnx"] == report.of("second")["nodes_of_others"] == []

    def test_and_does_not_make_its_readers_the_culprit(self, exported, verify, plant):
        path = exported("stash")
        plant(path, "scale", 1.1)
        report = verify(path)
        assert report.of("first")["wrong"]
        assert report.of("second")["wrong"]
        assert report.named == ""

    @pytest.mark.parametrize("fqn", ["first", "second"])
    def test_a_fault_in_one_reader_is_its_own(self, exported, verify, fqn, plant):
        path = exported("stash")
        plant(path, f"{fqn}.linear.bias", 2)
        assert verify(path).named == f"{fqn}.linear"
        path = exported("stash", "--overwrite")
        plant(path, f"{fqn}.shift", 2)
        assert verify(path).named == fqn


class TestFailOver:
    """The largest error that the user accepts."""

    def test_above_every_error(self, exported, verify, plant):
        path = exported("tower")
        plant(path, "blocks.1.inner.weight")
        report = verify(path, "--fail-over", "0.5")
        assert (report.exit, report["culprit"], report.of("")["limit"]) == (0, None, 0.5)

    def test_below_what_is_ordinary(self, exported, verify):
        report = verify(exported("tower"), "--fail-over", "1e-12")
        assert report.exit == 1
        assert report.named is not None

    def test_accumulated_errors_count_too(self, hx, exported, verify, verify_models, plant):
        """Each call is right within 10 %; at the output of `down`, where values cancel, the error is ten times that."""
        path = exported("cancelling")
        plant(path, "first.weight", 1.02)
        assert verify(path).named == "first"
        report = verify(path, "--fail-over", "0.1")
        assert (report.exit, report["failed"], report["culprit"]) == (1, True, None)
        assert report.of("down")["accumulated"]["relative_error"] > 0.1
        shown = hx("verify", path, "--against", f"{verify_models}:cancelling", "--fail-over", "0.1")
        assert shown.code == 1
        assert "no call is wrong by itself" in shown.out
        assert "down" in shown.out.splitlines()[0]


def test_nan_and_infinity_where_pytorch_has_them(exported, verify):
    report = verify(exported("undefined"))
    assert report.exit == 0
    numbers = report.of("blank")["local"]
    assert numbers["expected_nan"] == numbers["actual_nan"] > 0
    assert numbers["relative_error"] < 1e-6


def test_nan_elsewhere(hx, exported, verify, verify_models, plant):
    path = exported("tower")
    plant(path, "blocks.1.inner.bias", float("nan"))
    report = verify(path)
    assert report.named == "blocks.1.inner"
    numbers = report.of("blocks.1.inner")["local"]
    assert numbers["relative_error"] is None
    assert (numbers["expected_nan"], numbers["actual_nan"]) == (0, 12)
    assert "NaN" in numbers["reason"]
    assert "NaN" in hx("verify", path, "--against", f"{verify_models}:tower").out


def test_a_call_that_pytorch_does_not_make_is_reported(hx, exported, verify, verify_models):
    """The export has three blocks and PyTorch two: the third is in the list, with the reason."""
    path = exported("taller")
    report = verify(path, against=f"{verify_models}:tower")
    gone = report.of("blocks.3")
    assert gone["local"] is None
    assert gone["reason"] == "The PyTorch model did not make this call."
    assert report["compared"] == len(report["calls"]) - 3
    shown = hx("verify", path, "--against", f"{verify_models}:tower").out
    assert "3 calls not compared" in shown
    assert "did not make this call" in shown


def test_where_the_whole_model_is_not_compared_that_is_said(hx, exported, verify_models):
    shown = hx("verify", exported("noisy"), "--against", f"{verify_models}:noisy")
    assert shown.code == 0
    assert "the whole model is not compared: RandomNormalLike draws other numbers in every run." in shown.out


def test_a_part_beside_its_module(hx, exported, verify, verify_models, plant, tmp_path):
    path = exported("tower")
    part = tmp_path / "part.onnx"
    assert hx("-q", "extract", path, "-m", "blocks.1", "-o", part).code == 0
    report = verify(part, against=f"{verify_models}:tower")
    assert (report.exit, report.named) == (0, None)
    assert {entry["fqn"] for entry in report["calls"] if entry["local"]} == {
        "blocks.1",
        "blocks.1.inner",
        "blocks.1.norm",
    }
    plant(part, "blocks.1.inner.weight")
    assert verify(part, against=f"{verify_models}:tower").named == "blocks.1.inner"
