"""What `import hx` gives and costs."""

from __future__ import annotations

import html
import itertools
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import hx


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import hx, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"torch", "transformers", "onnx", "onnx_ir", "onnxruntime", "numpy", "sympy", "pydantic", "rich", "typer"}
    assert not heavy & set(done.stdout.split())


def test_cutting_a_call_out_loads_no_torch(tmp_path: Path) -> None:
    hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),), tmp_path / "linear.onnx")
    code = (
        "import hx, sys; assert not hx.extract('linear.onnx', '/Linear', 'part.onnx').mismatches; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert {"onnx_ir", "onnxruntime"} <= set(done.stdout.split())
    assert "torch" not in done.stdout.split()


def test_the_export_of_a_module_in_memory_loads_no_transformers() -> None:
    code = (
        "import hx, sys, torch; hx.export(torch.nn.ReLU(), (torch.ones(2),)); assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_public_name_is_there() -> None:
    assert sorted(hx.__all__) == hx.__all__
    for name in hx.__all__:
        assert getattr(hx, name) is not None
    assert dir(hx) == hx.__all__


def test_every_function_has_an_example_and_says_what_it_returns() -> None:
    functions = [name for name in hx.__all__ if name.islower() and callable(getattr(hx, name))]
    assert len(functions) > 10
    for name in functions:
        assert "Examples:\n" in getattr(hx, name).__doc__, name
        assert "Returns:\n" in getattr(hx, name).__doc__, name


def test_records_print_as_sentences_and_tables() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    exported = hx.export(model, (torch.ones(2, 4),))
    assert repr(exported) == "<Export sequential.onnx: 3 calls, 2 nodes>"
    assert repr(exported["0"].extract()) == (
        "<Extraction /Sequential/Linear.0: input FLOAT[2, 4] -> output FLOAT[2, 3]>"
    )
    assert repr(exported.report) == f"<ExportReport {exported.report}>"
    assert str(hx.tree(exported, everything=True)).splitlines() == [
        "sequential.onnx",
        "module        name  nodes  own  weights",
        "Sequential              2    0       15",
        "    Linear.0  0         1    1       15",
        "    ReLU.1    1         1    1        0",
    ]
    profile = hx.profile(exported, runs=2)
    assert repr(profile).startswith("<Profile sequential.onnx: ")
    tables = hx.verify(exported), hx.analyze(exported), profile, hx.compare_profiles(profile, profile)
    assert all(record._repr_html_().count("<tr>") > 1 for record in tables)
    assert exported.report._repr_html_() is None
    ports = exported["0"]._repr_html_()
    assert ports.startswith("<div><b>/Sequential/Linear.0: torch.nn.modules.linear.Linear, extractable; nodes: 1</b>")
    assert ports.count("<tr>") == 3
    assert "FLOAT[2, 4]" in ports


def test_a_notebook_shows_the_page_in_a_frame_that_can_do_nothing_else() -> None:
    exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
    shown = hx.show(exported, analyze=hx.analyze(exported, detailed=True), height=300)
    frame = shown._repr_html_()
    assert frame.count('"') == 6, "no quote of the page ends an attribute"
    assert 'sandbox="allow-scripts"' in frame
    assert "height:300px" in frame
    inside = frame.partition('srcdoc="')[2].partition('" sandbox')[0]
    assert html.unescape(inside) == shown.html
    assert "<title>" in shown.html
    assert repr(shown) == "Page(model='sequential.onnx', height=300)"


def test_a_traceback_shows_code_and_hint() -> None:
    exported = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),))
    with pytest.raises(hx.HxError) as caught:
        exported["Lineal"]
    lines = traceback.format_exception_only(caught.value)
    assert lines[1] == "HX401: Run `hx tree` to see every module.\n"


def test_calls_by_row_and_by_several_patterns() -> None:
    exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), (torch.ones(2, 4),))
    assert exported[1] == exported["0"] == list(exported)[1]
    with pytest.raises(IndexError):
        exported[3]
    assert [call.fqn for call in exported.calls(["ReLU", "0"])] == ["0", "1"]
    assert [call.fqn for call in hx.analyze(exported, "0").calls] == ["0"]
    assert exported.run({"input": torch.ones(2, 4)}, ["relu"])["relu"].shape == (2, 3)


@pytest.mark.parametrize(
    ("call", "code", "hint"),
    [
        (lambda e: hx.export(e.module, e.loaded.example, min_confidence="hi"), "HX406", "'high', 'medium'"),
        (lambda e: hx.analyze(e, sort="mac"), "HX406", "'macs', 'params', 'nodes'"),
        (lambda e: hx.profile(e, files={"svg": "x.svg"}), "HX406", "'csv', 'speedscope'"),
        (lambda e: e.root.extract().save("x.onnx", weights="link"), "HX406", "'copy', 'share', 'none'"),
        (lambda e: hx.validate(e, repair=True), "HX405", "Save it"),
    ],
)
def test_what_an_argument_does_not_take(
    call: Callable[[hx.Export], object], code: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exported = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),))
    with pytest.raises(hx.HxError) as caught:
        call(exported)
    assert caught.value.code == code
    assert hint in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_model_is_a_module_a_function_or_a_string() -> None:
    with pytest.raises(TypeError, match="not 3"):
        hx.export(3)


class Logarithm(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(x + 1e-15)


def test_a_mismatch_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """torch 2.13 drops the addition of 1e-15: the graph gives minus infinity, PyTorch -34.5."""
    exported = hx.export(Logarithm().eval(), (torch.zeros(4, 8),))
    assert exported.verification.status == "mismatch"
    (record,) = [record for record in caplog.records if record.name.startswith("hx.")]
    assert "mismatch" in record.message


def test_random_numbers_are_not_compared() -> None:
    exported = hx.export(torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.9)), (torch.ones(4, 8),))
    assert exported.verification.status == "not_checked"
    assert "Dropout draws other numbers" in exported.verification.reason
    assert "training mode" in " ".join(exported.report.notes)


class Cached(torch.nn.Module):
    def forward(self, x: torch.Tensor, past: tuple[dict[str, torch.Tensor], ...]) -> torch.Tensor:
        return x + sum(layer["k"].sum(1) + layer["v"].sum(1) for layer in past)


@pytest.mark.parametrize(
    ("name", "free"), [("past.0.k", {"past_0_k"}), ("past_1_v", {"past_1_v"}), ("past.*.k", {"past_0_k", "past_1_k"})]
)
def test_dynamic_axes_of_tensors_in_containers(name: str, free: set[str]) -> None:
    """By path, by the name in the graph, and several at once."""
    layers = tuple({key: torch.ones(2, 3, 4) for key in "kv"} for _ in range(2))
    for axes in ({name: {1: "n"}}, {name: [1]}):
        exported = hx.export(Cached(), {"x": torch.ones(2, 4), "past": layers}, dynamic_axes=axes)
        dims = {value.name: value.shape[1] for value in exported.model.graph.inputs if len(value.shape or ()) == 3}
        assert {path for path, dim in dims.items() if not isinstance(dim, int)} == free


def test_a_size_of_one_that_may_fix_an_axis_is_told() -> None:
    class Branches(torch.nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) * (2 if input.shape[0] == 1 else 1)

    told = {size: hx.export(Branches(4, 3), (torch.ones(size, 4),), dynamic=True).report.notes for size in (1, 2)}
    assert ["input:0" in " ".join(notes) for notes in told.values()] == [True, False]


@pytest.mark.parametrize("axes", [{"tokens": {0: "n"}, "out": {0: "n"}}, {"tokens": [0]}, {"input": {0: "n"}}])
def test_dynamic_axes_in_every_form_of_torch(axes: dict[str, object]) -> None:
    exported = hx.export(
        torch.nn.Linear(4, 3), (torch.ones(2, 4),), dynamic_axes=axes, input_names=["tokens"], output_names=["out"]
    )
    assert [type(size) for size in exported.report.inputs["tokens"]] == [str, int]
    assert exported.root.extract().run({"input": np.ones((5, 4), np.float32)})["output"].shape == (5, 3)


def test_a_tree_of_torch_nn_modules_alone_shows_them() -> None:
    exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), (torch.ones(2, 4),))
    assert [call.tag for call in hx.tree(exported).calls] == [call.tag for call in exported]
    assert [call.tag for call in hx.analyze(exported).calls] == [call.tag for call in exported]

    class Around(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Sequential(torch.nn.LayerNorm(4), torch.nn.Linear(4, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    mixed = hx.export(Around(), (torch.ones(2, 4),))
    assert len(hx.tree(mixed).calls) < len(hx.tree(mixed, everything=True).calls) == len(mixed)


class Choosing(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tables = torch.nn.ParameterList(torch.randn(4, 4) for _ in range(3))

    def forward(self, x: torch.Tensor, place: int) -> torch.Tensor:
        return x @ self.tables[place]


class Chosen(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.last = Choosing(), torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for place in (0, 1, 1, 0):
            x = self.table(x, place)
        return self.last(x)


def test_the_weights_of_several_calls_count_each_once() -> None:
    exported = hx.export(Chosen(), (torch.ones(2, 4),))
    report, sidecar = hx.tree(exported, everything=True), exported.sidecar
    assert [call.weights for call in report.calls] == [52, 16, 0, 16, 16, 16, 20]  # the list of tables is not called
    for calls in itertools.chain.from_iterable(itertools.combinations(range(7), n) for n in range(8)):
        rows = [exported[report.calls[call].tag].row for call in calls]
        below = {inside for row in rows for inside in range(row, sidecar.subtree_end[row])}
        read = [row.elements or 0 for row in sidecar.initializers if below & {*row.readers}]
        assert report.weights_of(calls) == sum(read)


def test_errors_name_the_argument_that_was_given(tmp_path: Path) -> None:
    model, inputs = torch.nn.Linear(4, 3), (torch.ones(2, 4),)
    (tmp_path / "file").touch()
    exported = hx.export(model, inputs)
    calls: dict[str, Callable[[str], object]] = {
        "f": lambda path: hx.export(model, inputs, path),
        "path": lambda path: exported.save(path),
        "output": lambda path: hx.extract(exported, "Linear", path),
    }
    for argument, call in calls.items():
        for path, code in ((tmp_path / "model.txt", "HX406"), (tmp_path / "file" / "model.onnx", "HX306")):
            with pytest.raises(hx.HxError) as caught:
                call(str(path))
            assert (caught.value.code, caught.value.argument) == (code, argument)
    with pytest.raises(hx.HxError) as caught:
        hx.profile(exported, files={"csv": tmp_path / "file" / "x.csv"})
    assert (caught.value.code, caught.value.argument) == ("HX306", "files")


def test_a_refused_export_keeps_its_remedy_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hx_tracer

    def refuse(*_: object, **__: object) -> None:
        raise hx_tracer.ExportError("No.", hint="Other attention.", report="why", remedy={"attn": "eager"})

    monkeypatch.setattr(hx_tracer, "export_with_first", refuse)
    for path in (None, tmp_path / "linear.onnx"):
        with pytest.raises(hx_tracer.ExportError) as caught:
            hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),), path)
        assert (caught.value.remedy, caught.value.report) == ({"attn": "eager"}, "why")
    assert (tmp_path / "linear_export_report.txt").read_text().startswith("why")
