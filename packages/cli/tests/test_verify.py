"""`hx verify`, from files to exit codes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hx_cli import _measure
from hx_cli._inputs import recorded_inputs
from hx_cli._pytorch import Against
from hx_cli._reports import VerifyReport
from hx_extractor import load

MODELS = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        nn.init.normal_(self.norm.bias)  # equal weights would be one in the graph
        self.scale = nn.Parameter(torch.randn(4))

    def forward(self, x):
        return self.norm(x + self.inner(x).tanh() * self.scale)


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Shared(Tower):
    def forward(self, x):
        return self.blocks[1](self.blocks[0](self.blocks[1](x)))


class Reader(nn.Module):
    def __init__(self, box):
        super().__init__()
        self.box = box
        self.linear = nn.Linear(4, 4)
        self.shift = nn.Parameter(torch.randn(4))

    def forward(self, x):
        return self.linear(x) * self.box["gate"] + self.shift


class Stash(nn.Module):
    def __init__(self, module):
        super().__init__()
        torch.manual_seed(0)
        self.box = {}
        self.gate = nn.Linear(4, 4) if module else torch.sin
        self.first, self.second = Reader(self.box), Reader(self.box)
        self.scale = nn.Parameter(torch.randn(4))

    def forward(self, x):
        self.box["gate"] = self.gate(x * self.scale)
        return self.second(self.first(x))


class Fused(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)
        self.body[1].running_mean.uniform_()

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class Shift(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = nn.Buffer(by)

    def forward(self, x):
        return x + self.by


class Cancelling(nn.Module):
    def __init__(self, x):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 4)
        value = self.first(x).detach()
        self.down, self.up = Shift(-0.999 * value), Shift(0.999 * value)

    def forward(self, x):
        return self.up(self.down(self.first(x)))


class Blank(nn.Module):
    def forward(self, x):
        return torch.log(x)


class Undefined(Tower):
    def __init__(self):
        super().__init__()
        self.blank = Blank()

    def forward(self, x):
        return super().forward(x), self.blank(x)


X = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


def tower():
    return Tower(), {"x": X}


def other():
    model = Tower()
    torch.manual_seed(5)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model, {"x": X}


def shared():
    return Shared(), {"x": X}


def stash():
    return Stash(False), {"x": X}


def gated():
    return Stash(True), {"x": X}


def fused():
    return Fused(), {"x": torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))}


def cancelling():
    return Cancelling(X), {"x": X}


def undefined():
    return Undefined(), {"x": X}


def taller():
    model = Tower()
    model.blocks.append(Block())
    return model, {"x": X}


def another():
    return nn.Sequential(nn.Linear(4, 4)), {"input": X}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verify") / "models.py"
    path.write_text(MODELS)
    return path


@pytest.fixture
def exported(hx, models, tmp_path):
    """Export a factory into the test's folder."""

    def export(name: str, *options: object) -> Path:
        path = tmp_path / f"{name}.onnx"
        assert hx("-q", "export", f"{models}:{name}", "-o", path, *options).code == 0
        return path

    return export


@pytest.fixture
def verify(hx, models):
    """Verify against a factory; the record, and the exit code as `exit`."""

    def call(path: Path, *options: object, against: str | None = None) -> dict[str, Any]:
        spec = against or f"{models}:{path.stem}"
        result = hx("verify", path, "--against", spec, "--json", *options)
        assert result.code in (0, 1), result.err
        assert result.err == ""
        return json.loads(result.out) | {"exit": result.code}

    return call


def plant(path: Path, name: str, factor: float = 1.01) -> None:
    """Make one weight of an ONNX file wrong."""
    model = onnx.load(path)
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))
    onnx.save(model, path)


def named(report: dict[str, Any]) -> str | None:
    if report["culprit"] is None:
        return None
    entry = report["calls"][report["culprit"]]
    return f"{entry['fqn']}@{entry['call']}" if entry["call"] else entry["fqn"]


def of(report: dict[str, Any], fqn: str) -> dict[str, Any]:
    return next(entry for entry in report["calls"] if entry["fqn"] == fqn)


def test_a_right_model(exported, verify):
    report = verify(exported("tower"))
    assert (report["exit"], report["failed"], named(report)) == (0, False, None)
    assert report["compared"] == len(report["calls"]) == 10
    assert not any(entry["wrong"] or entry["reason"] for entry in report["calls"])
    assert all(entry["local"]["relative_error"] < 1e-6 for entry in report["calls"])
    assert all(entry["accumulated"]["relative_error"] < 1e-6 for entry in report["calls"])
    assert VerifyReport.model_validate(report).schema_version == "1.0"


class TestPlanted:
    """A weight of the ONNX file is wrong."""

    @pytest.mark.parametrize("wrong", ["blocks.0.inner.weight", "blocks.1.norm.bias", "blocks.2.inner.bias"])
    def test_in_an_innermost_call(self, exported, verify, wrong):
        path = exported("tower")
        plant(path, wrong, 2)
        report = verify(path)
        assert report["exit"] == 1
        assert named(report) == wrong.rpartition(".")[0]
        right = [entry for entry in report["calls"] if entry["fqn"] not in ("", wrong[:8], named(report))]
        assert all(entry["local"]["relative_error"] < 1e-6 for entry in right)

    def test_by_one_percent(self, exported, verify):
        path = exported("tower")
        plant(path, "blocks.1.inner.weight")
        assert named(verify(path)) == "blocks.1.inner"

    def test_a_parameter_of_a_parent(self, exported, verify):
        path = exported("tower")
        plant(path, "blocks.1.scale")
        report = verify(path)
        assert named(report) == "blocks.1"
        assert of(report, "blocks.1.inner")["local"]["relative_error"] < 1e-6
        assert of(report, "blocks.2")["local"]["relative_error"] < 1e-6
        assert of(report, "blocks.2")["accumulated"]["relative_error"] > 1e-5

    def test_nodes_of_a_parent_between_its_children(self, exported, verify):
        path = exported("tower")
        model = onnx.load(path)
        next(node for node in model.graph.node if node.op_type == "Tanh").op_type = "Sigmoid"
        onnx.save(model, path)
        original = path.with_name("original.onnx")
        exported("tower", "--overwrite").rename(original)
        path.with_name("tower_hierarchy.json").rename(path.with_name("original_hierarchy.json"))
        onnx.save(model, path)
        assert named(verify(path, "--from", original)) == "blocks.0"

    def test_in_a_module_that_runs_twice(self, exported, verify):
        path = exported("shared")
        plant(path, "blocks.1.inner.weight")
        report = verify(path)
        assert named(report) == "blocks.1.inner"
        wrong = {(entry["fqn"], entry["call"]) for entry in report["calls"] if entry["wrong"]}
        assert {("blocks.1.inner", 0), ("blocks.1.inner", 1)} <= wrong

    def test_in_a_call_that_has_no_model_of_its_own(self, exported, verify):
        """Conv and BatchNorm are one node; the call around them is the innermost that can be run."""
        path = exported("fused")
        weight = next(t.name for t in onnx.load(path).graph.initializer if len(t.dims) == 4)
        plant(path, weight, 1.1)
        report = verify(path)
        assert of(report, "body.0")["status"] == "fused"
        assert of(report, "body.0")["local"] is None
        assert named(report) == "body"

    def test_other_weights(self, exported, verify, models):
        """Every call with weights is wrong; that is not what is ordinary in this model."""
        report = verify(exported("tower"), against=f"{models}:other")
        assert report["exit"] == 1
        assert named(report) == "blocks.0.inner"


class TestImplicitInputs:
    """Tensors that a module reaches past its arguments."""

    def test_another_modules_output_is_taken_from_pytorch(self, exported, verify):
        path = exported("gated")
        assert any(port.implicit for call in load(path).sidecar.calls for port in call.inputs)
        plant(path, "gate.weight", 1.1)
        report = verify(path)
        assert named(report) == "gate"
        assert of(report, "second")["inputs_from_onnx"] == []
        assert of(report, "second")["local"]["relative_error"] < 1e-6

    def test_what_only_the_onnx_model_has_is_said(self, exported, verify):
        report = verify(exported("stash"))
        assert report["exit"] == 0
        (port,) = of(report, "second")["inputs_from_onnx"]
        assert port.startswith("implicit.")
        assert len(of(report, "first")["nodes_of_others"]) == 1  # the sine, from its own input
        assert of(report, "first")["inputs_from_onnx"] == of(report, "second")["nodes_of_others"] == []

    def test_and_does_not_make_its_readers_the_culprit(self, exported, verify):
        path = exported("stash")
        plant(path, "scale", 1.1)
        report = verify(path)
        assert of(report, "first")["wrong"]
        assert of(report, "second")["wrong"]
        assert named(report) == ""

    @pytest.mark.parametrize("fqn", ["first", "second"])
    def test_a_fault_in_one_reader_is_its_own(self, exported, verify, fqn):
        path = exported("stash")
        plant(path, f"{fqn}.linear.bias", 2)
        assert named(verify(path)) == f"{fqn}.linear"
        path = exported("stash", "--overwrite")
        plant(path, f"{fqn}.shift", 2)
        assert named(verify(path)) == fqn


class TestFailOver:
    """The largest error that the user accepts."""

    def test_above_every_error(self, exported, verify):
        path = exported("tower")
        plant(path, "blocks.1.inner.weight")
        report = verify(path, "--fail-over", "0.5")
        assert (report["exit"], report["culprit"], report["limit"]) == (0, None, 0.5)

    def test_below_what_is_ordinary(self, exported, verify):
        report = verify(exported("tower"), "--fail-over", "1e-12")
        assert report["exit"] == 1
        assert named(report) is not None

    def test_accumulated_errors_count_too(self, hx, exported, verify, models):
        """Each call is right within 10 %; at the output of `down`, where values cancel, the error is ten times that."""
        path = exported("cancelling")
        plant(path, "first.weight", 1.02)
        assert named(verify(path)) == "first"
        report = verify(path, "--fail-over", "0.1")
        assert (report["exit"], report["failed"], report["culprit"]) == (1, True, None)
        assert of(report, "down")["accumulated"]["relative_error"] > 0.1
        shown = hx("verify", path, "--against", f"{models}:cancelling", "--fail-over", "0.1")
        assert shown.code == 1
        assert "no call is wrong by itself" in shown.out
        assert "down" in shown.out.splitlines()[0]


def test_nan_and_infinity_where_pytorch_has_them(exported, verify):
    report = verify(exported("undefined"))
    assert report["exit"] == 0
    numbers = of(report, "blank")["local"]
    assert numbers["expected_nan"] == numbers["actual_nan"] > 0
    assert numbers["relative_error"] < 1e-6


def test_nan_elsewhere(hx, exported, verify, models):
    path = exported("tower")
    plant(path, "blocks.1.inner.bias", float("nan"))
    report = verify(path)
    assert named(report) == "blocks.1.inner"
    numbers = of(report, "blocks.1.inner")["local"]
    assert numbers["relative_error"] is None
    assert (numbers["expected_nan"], numbers["actual_nan"]) == (0, 12)
    assert "NaN" in numbers["reason"]
    assert "NaN" in hx("verify", path, "--against", f"{models}:tower").out


def test_a_call_that_pytorch_does_not_make_is_reported(hx, exported, verify, models):
    """The export has three blocks and PyTorch two: the third is in the list, with the reason."""
    path = exported("taller")
    report = verify(path, against=f"{models}:tower")
    gone = of(report, "blocks.3")
    assert gone["local"] is None
    assert gone["reason"] == "The PyTorch model did not make this call."
    assert report["compared"] == len(report["calls"]) - 3
    shown = hx("verify", path, "--against", f"{models}:tower").out
    assert "3 calls not compared" in shown
    assert "did not make this call" in shown


class TestMemory:
    """How much is held at once, and that nothing else depends on it."""

    def test_smaller_means_more_runs_and_the_same_numbers(self, exported, verify):
        path = exported("shared")
        plant(path, "blocks.0.inner.weight")
        reports = [verify(path, "--memory", memory) for memory in ("1GB", "1kB", "1B")]
        batches = [report.pop("batches") for report in reports]
        sizes = [report.pop("memory_bytes") for report in reports]
        assert reports[0] == reports[1] == reports[2]
        assert sizes == [10**9, 1000, 1]
        assert batches[0] == 1
        assert batches[2] == reports[2]["compared"]
        assert batches[0] < batches[1] < batches[2]

    @pytest.mark.parametrize("memory", [500, 1000, 2000, 10**6])
    def test_what_is_held_stays_within_it(self, exported, models, memory, monkeypatch):
        model = load(exported("gated"))
        loaded = Against(f"{models}:gated").load()
        inputs = recorded_inputs(loaded, model.example_inputs())
        runs: list[object] = []
        original = _measure.run_module
        monkeypatch.setattr(_measure, "run_module", lambda *args: runs.append(args) or original(*args))
        measurement = _measure.Measurement(model, loaded, inputs, memory)
        for rows in measurement.batches:
            measurement.fetch(rows)
            held = measurement._held
            assert held is not None
            arrays = list(held.values.values())
            for boundary in held.boundaries.values():
                arrays += [*boundary.inputs.values(), *boundary.outputs.values()]
            assert sum(array.nbytes for array in arrays) <= memory or len(rows) == 1
        assert len(runs) == len(measurement.batches) + 1  # one run to see the sizes
        assert [row for rows in measurement.batches for row in rows] == model.calls()


class TestInputs:
    """`--inputs FILE`."""

    def test_other_values_and_sizes(self, exported, verify, tmp_path):
        path = exported("tower", "--dynamic")
        plant(path, "blocks.2.inner.weight")
        np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(5, 4)))
        report = verify(path, "--inputs", tmp_path / "x.npz")
        assert named(report) == "blocks.2.inner"
        assert report["inputs"] == str(tmp_path / "x.npz")
        recorded = verify(path)
        assert recorded["inputs"] == "recorded"
        assert of(recorded, "")["local"] != of(report, "")["local"]

    def test_an_error_that_they_do_not_show(self, exported, verify, tmp_path):
        """A wrong factor of zero is right."""
        path = exported("tower")
        plant(path, "blocks.0.inner.weight")
        np.savez(tmp_path / "zero.npz", x=np.zeros((3, 4), np.float32))
        assert named(verify(path, "--inputs", tmp_path / "zero.npz")) is None

    @pytest.mark.parametrize(
        ("arrays", "code", "said"),
        [
            ({"x": np.zeros((5, 4))}, "HX409", "[5, 4]"),
            ({"x": np.zeros((3, 4, 1))}, "HX409", "[3, 4, 1]"),
            ({"y": np.zeros((3, 4))}, "HX109", "'y'"),
        ],
    )
    def test_that_do_not_fit(self, hx, exported, models, tmp_path, arrays, code, said):
        path = exported("tower")
        np.savez(tmp_path / "x.npz", **arrays)
        error = hx("verify", path, "--against", f"{models}:tower", "--inputs", tmp_path / "x.npz").error
        assert code in error
        assert said in error

    def test_no_file(self, hx, exported, models):
        path = exported("tower")
        assert "HX110" in hx("verify", path, "--against", f"{models}:tower", "--inputs", "none.npz").error


@pytest.fixture
def transformed(bert):
    """The BERT, in another precision, without a sidecar of its own."""

    def make(kind: str, source: Path = bert) -> Path:
        target = bert.with_name(f"{kind}.onnx")
        if kind == "half":
            from onnxruntime.transformers.float16 import convert_float_to_float16

            onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)
        else:
            from onnxruntime.quantization import quantize_dynamic

            logging.disable(logging.WARNING)
            quantize_dynamic(source, target)
            logging.disable(logging.NOTSET)
        return target

    return make


class TestTransformed:
    """`--from`: quantised and converted models."""

    @pytest.mark.parametrize(("kind", "at_least", "at_most"), [("half", 1e-5, 1e-2), ("int8", 1e-3, 0.1)])
    def test_a_right_one(self, verify, bert, transformed, kind, at_least, at_most):
        report = verify(transformed(kind), "--from", bert, against="tiny:bert")
        assert (report["exit"], named(report), report["original"]) == (0, None, str(bert))
        errors = [entry["local"]["relative_error"] for entry in report["calls"] if entry["local"]]
        assert len(errors) == report["compared"] == len(load(bert).calls())
        assert at_least < max(errors) < at_most
        assert report["limit"] > max(errors)

    @pytest.mark.parametrize(("kind", "factor"), [("half", 1.02), ("int8", 1.5)])
    def test_a_planted_error(self, verify, bert, transformed, tmp_path, kind, factor):
        fqn = "encoder.layer.1.intermediate.dense"
        weights = load(bert).extract(fqn).model.graph.initializers.values()
        (weight,) = [value.name for value in weights if value.shape is not None and len(value.shape) == 2]
        wrong = tmp_path / "wrong.onnx"
        wrong.write_bytes(bert.read_bytes())
        plant(wrong, weight, factor)
        report = verify(transformed(kind, wrong), "--from", bert, against="tiny:bert")
        assert named(report) == fqn

    def test_a_fused_border_is_not_compared_and_said(self, hx, exported, verify, models):
        path = exported("tower")
        model = onnx.load(path)
        gone = next(port.value for port in load(path).sidecar.calls[1].outputs)
        for node in model.graph.node:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    if name == gone:
                        names[index] = "renamed"
        del model.graph.value_info[:]
        other = path.with_name("other.onnx")
        onnx.save(model, other)
        options = ("--from", path, "--against", f"{models}:tower")
        report = json.loads(hx("verify", other, *options, "--json").out)
        assert report["culprit"] is None
        for fqn in ("blocks.0", "blocks.1", "blocks.0.norm"):
            entry = of(report, fqn)
            assert entry["local"] is None
            assert gone in entry["reason"]
        assert of(report, "blocks.1")["accumulated"]["relative_error"] < 1e-6
        assert of(report, "blocks.2")["local"]["relative_error"] < 1e-6
        assert repr(gone) in hx("verify", other, *options).out

    def test_without_from_the_hint_names_it(self, hx, exported, models):
        path = exported("tower")
        model = onnx.load(path)
        model.graph.node[0].op_type = "MatMul"
        onnx.save(model, path)
        result = hx("verify", path, "--against", f"{models}:tower")
        assert "HX203" in result.error
        assert "--from" in result.err
        path.rename(path.with_name("bare.onnx"))
        result = hx("verify", path.with_name("bare.onnx"), "--against", f"{models}:tower")
        assert "HX301" in result.error
        assert "--from" in result.err

    def test_from_an_export_of_another_model(self, hx, exported, models):
        one, two = exported("tower"), exported("fused")
        assert "HX211" in hx("verify", one, "--from", two, "--against", f"{models}:tower").error

    def test_from_needs_a_model(self, hx, exported, models):
        assert "HX405" in hx("verify", "--from", exported("tower"), "--against", f"{models}:tower").error


class TestBadInput:
    """Exit 2, two lines."""

    def test_no_model_to_compare_with(self, hx, exported):
        error = hx("verify", exported("tower")).error
        assert "HX405" in error
        assert "--against" in error

    @pytest.mark.parametrize(
        "options",
        [
            ["--memory", "much"],
            ["--memory", "0"],
            ["--fail-over", "nan"],
            ["--fail-over", "-1"],
            ["--fail-over", "small"],
            ["--top", "0"],
        ],
    )
    def test_options_that_cannot_be_read(self, hx, exported, models, options):
        error = hx("verify", exported("tower"), "--against", f"{models}:tower", *options).error
        assert options[0] in error or options[1] in error
        assert "HX405" in error or "HX406" in error

    def test_another_model(self, hx, exported, models):
        path = exported("tower")
        assert "HX407" in hx("verify", path, "--against", f"{models}:fused").error
        result = hx("verify", path, "--against", f"{models}:another")
        assert result.code == 1
        assert "9 calls not compared" in result.out

    def test_no_export_here(self, hx, models, tmp_path):
        assert "HX403" in hx("verify", "--against", f"{models}:tower", cwd=tmp_path).error


class TestView:
    """What a person sees."""

    def test_one_line_names_the_culprit(self, hx, exported, models):
        path = exported("tower")
        plant(path, "blocks.1.inner.weight")
        result = hx("verify", "--against", f"{models}:tower", cwd=path.parent)
        assert result.code == 1
        assert result.err == ""
        first = result.out.splitlines()[0]
        assert "blocks.1.inner" in first
        assert "/Tower/Block.1/Linear" in first
        assert "output output" in result.out.splitlines()[1]
        rows = [line.split() for line in result.out.splitlines() if line.startswith(" ")]
        worst = [float(cells[2]) for cells in rows if len(cells) == 6 and cells[-1].isdigit()]
        assert len(worst) == 10
        assert worst == sorted(worst, reverse=True)

    def test_top(self, hx, exported, models):
        path = exported("tower")
        few = hx("verify", path, "--against", f"{models}:tower", "--top", "2").out
        assert "8 with smaller local errors" in few
        assert "with smaller" not in hx("verify", path, "--against", f"{models}:tower").out

    @pytest.mark.parametrize("columns", [60, 80, 120])
    def test_fits_the_terminal(self, hx, bert, columns):
        result = hx("verify", bert, "--against", "tiny:bert", columns=columns)
        assert result.code == 0
        assert max(map(len, result.out.splitlines())) <= columns
        assert "attention.self" in result.out

    def test_quiet_keeps_the_answer(self, hx, exported, models):
        result = hx("-q", "verify", exported("tower"), "--against", f"{models}:tower")
        assert result.out.startswith("no call is wrong")
        assert len(result.out.splitlines()) == 1
