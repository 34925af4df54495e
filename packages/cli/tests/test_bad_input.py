"""Bad input: exit 2, one line that says what is wrong, one that says what to do, and nothing written."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.context
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from hx_cli._main import run

HX = (sys.executable, "-m", "hx_cli")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("tiny:brt", "'brt'"),
        ("no/such-model", "'no/such-model'"),
        ("nofile.py:make", "'nofile.py'"),
        ("no_such_package.models:make", "'no_such_package.models'"),
    ],
)
def test_unknown_model(hx, tmp_path, spec, said):
    assert said in hx("export", spec, cwd=tmp_path).error
    assert files(tmp_path) == {}


def test_unknown_factory_names_the_closest(hx, tmp_path, factories):
    assert "perceptron" in hx("export", f"{factories}:perzeptron", cwd=tmp_path).error
    assert files(tmp_path) == {}


def test_factory_that_raises_shows_the_last_line_of_its_traceback(hx, tmp_path, factories):
    result = hx("export", f"{factories}:raises", cwd=tmp_path)
    assert "RuntimeError: weights are on the other machine" in result.error
    assert files(tmp_path) == {}


def test_inputs_that_do_not_fit_forward(hx, tmp_path, factories):
    result = hx("export", f"{factories}:perceptron", "--input-shape", "x=3,5", cwd=tmp_path)
    assert "x[3, 5]" in result.error.replace("'", "")
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    "options",
    [
        ["--input-shape", "x:3,4"],
        ["--input-shape", "x=3,4", "--input-shape", "x=3,4"],
        ["--torch-nn", "Linear,3"],
        ["--dynamic-shape", "x=batch"],
        ["--dynamic-shape", "y:0=batch"],
        ["--inputs", "none.npz"],
        ["--dtype", "float12"],
        ["--opset"],
        ["-o", "model.pt"],
        ["--nonsense"],
    ],
)
def test_options_that_cannot_be_read(hx, tmp_path, factories, options):
    assert options[-1].split("=")[0] in hx("export", f"{factories}:perceptron", *options, cwd=tmp_path).error
    assert files(tmp_path) == {}


def test_a_model_that_the_exporter_refuses_leaves_a_report(hx, tmp_path, factories):
    result = hx("export", f"{factories}:branching", cwd=tmp_path)
    assert "HX120" in result.error
    assert "'branching_export_report.txt'" in result.err
    assert list(files(tmp_path)) == ["branching_export_report.txt"]
    assert "Traceback" in (tmp_path / "branching_export_report.txt").read_text()
    (tmp_path / "branching_export_report.txt").write_text("mine")
    assert "'branching_export_report_2.txt'" in hx("export", f"{factories}:branching", cwd=tmp_path).err
    assert (tmp_path / "branching_export_report.txt").read_text() == "mine"


def test_existing_files_are_refused_before_any_work(hx, perceptron, factories):
    before = files(perceptron.parent)
    start = time.process_time()
    result = hx("export", f"{factories}:perceptron", "-o", perceptron)
    assert "HX402" in result.error
    assert time.process_time() - start < 1
    assert files(perceptron.parent) == before


def test_unknown_pattern_names_the_three_closest(hx, bert):
    error = hx("extract", bert, "--module", "/BertModel/.../BertSelfAtention").error
    assert "HX401" in error
    assert error.count("'") == 8  # the pattern and three names


def test_nothing_to_extract(hx, perceptron):
    assert "HX405" in hx("extract", perceptron).error


def test_one_call_that_is_not_extractable(hx, bert):
    before = files(bert.parent)
    error = hx("extract", bert, "--module", "encoder.layer.0.output.dropout").error
    assert "HX404" in error
    assert "identity" in error
    assert files(bert.parent) == before


@pytest.mark.parametrize("output", ["model.onnx", "model_hierarchy.json", "w.data", "x.npz", "link", "other.onnx"])
@pytest.mark.parametrize(
    "command",
    [
        ["relink", "other.onnx", "--from", "model.onnx", "-o"],
        ["project", "other.onnx", "--inputs", "x.npz", "-o"],
        ["modules", "model.onnx", "-o"],
        ["analyze", "model.onnx", "-o"],
        ["profile", "model.onnx", "--inputs", "x.npz", "--csv"],
        ["extract", "model.onnx", "-m", "first", "-o"],
    ],
    ids=lambda command: command[0],
)
def test_what_a_command_reads_is_no_output(hx, perceptron, command, output):
    folder = perceptron.parent
    onnx.save(onnx.load(perceptron), perceptron, save_as_external_data=True, location="w.data", size_threshold=0)
    (folder / "other.onnx").write_bytes(perceptron.read_bytes())
    (folder / "link").symlink_to("model.onnx")
    np.savez(folder / "x.npz", x=np.ones((3, 4), np.float32))
    read = {"model.onnx", "model_hierarchy.json", "w.data", "link"}
    read = {
        "relink": read | {"other.onnx"},
        "project": {"other.onnx", "w.data", "x.npz"},
        "profile": read | {"x.npz"},
        "extract": {"model.onnx"},  # others have no name of a model
    }.get(command[0], read - {"w.data"})
    if output in read:
        before = files(folder)
        assert "HX408" in hx(*command, output, "--overwrite", cwd=folder).error
        assert files(folder) == before


def test_no_file_is_two_outputs(hx, perceptron):
    assert "HX405" in hx("profile", perceptron, "--csv", "a", "--html", "./a", cwd=perceptron.parent).error


def test_a_link_that_leads_nowhere_is_not_replaced(hx, perceptron):
    link = perceptron.with_name("link.json")
    link.symlink_to("nowhere")
    assert "HX402" in hx("modules", perceptron, "-o", link).error
    assert link.is_symlink()


def test_what_is_a_fifo_is_not_waited_for(hx, perceptron):
    """It may lie where a sidecar, or the record of what an earlier command wrote, is looked for."""
    sidecar, folder = perceptron.with_name("model_hierarchy.json"), perceptron.parent / "parts"
    folder.mkdir()
    for fifo in (folder / "index.json", folder / "session.json", perceptron.with_name("x.pt")):
        os.mkfifo(fifo)
    assert "HX306" in hx("extract", perceptron, "--all", "-o", folder, "--overwrite").error
    assert "HX402" in hx("debug", "tiny:bert", "-o", folder, "--overwrite").error
    assert "HX110" in hx("profile", perceptron, "--inputs", perceptron.with_name("x.pt")).error
    sidecar.unlink()
    os.mkfifo(sidecar)
    assert "HX301" in hx("tree", perceptron).error


def test_folder_with_files_is_not_taken_for_output(hx, perceptron):
    (perceptron.parent / "model_modules").mkdir()
    (perceptron.parent / "model_modules" / "mine.txt").write_text("mine")
    assert "HX402" in hx("extract", perceptron, "--all", cwd=perceptron.parent).error


def test_no_export_here(hx, tmp_path):
    assert "HX403" in hx("tree", cwd=tmp_path).error


def test_two_exports_here_are_both_named(hx, perceptron):
    for suffix in (".onnx", "_hierarchy.json"):
        (perceptron.parent / f"other{suffix}").write_bytes((perceptron.parent / f"model{suffix}").read_bytes())
    error = hx("tree", cwd=perceptron.parent).error
    assert "'model.onnx', 'other.onnx'" in error


@pytest.mark.parametrize("command", [("tree",), ("extract", "--all")])
class TestSidecar:
    """What `NAME_hierarchy.json` may be."""

    def _refused(self, hx, model: Path, command: tuple[str, ...]) -> str:
        before = files(model.parent)
        result = hx(command[0], model, *command[1:], cwd=model.parent)
        assert files(model.parent) == before
        return result.error

    def test_missing(self, hx, perceptron, command):
        (perceptron.parent / "model_hierarchy.json").unlink()
        assert "HX301" in self._refused(hx, perceptron, command)

    def test_not_json(self, hx, perceptron, command):
        (perceptron.parent / "model_hierarchy.json").write_text("modules:\n  - a\n")
        assert "HX302" in self._refused(hx, perceptron, command)

    def test_truncated(self, hx, perceptron, command):
        path = perceptron.parent / "model_hierarchy.json"
        path.write_bytes(path.read_bytes()[:-200])
        assert "HX302" in self._refused(hx, perceptron, command)

    def test_newer_major(self, hx, perceptron, command):
        path = perceptron.parent / "model_hierarchy.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": "2.0"}))
        assert "HX303" in self._refused(hx, perceptron, command)

    def test_of_another_model(self, hx, perceptron, bert_once, command):
        other = bert_once.with_name("model_hierarchy.json").read_bytes()
        (perceptron.parent / "model_hierarchy.json").write_bytes(other)
        assert "HX203" in self._refused(hx, perceptron, command)

    def test_model_is_missing(self, hx, perceptron, command):
        perceptron.unlink()
        assert "HX202" in self._refused(hx, perceptron, command)

    def test_model_is_not_onnx(self, hx, perceptron, command):
        perceptron.write_text("this is text, not a model")
        assert "HX202" in self._refused(hx, perceptron, command)


def _externalise(path: Path, location: str) -> None:
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    onnx.save(model, path)


def test_missing_external_data(hx, perceptron):
    _externalise(perceptron, "weights.bin")
    assert hx("-q", "tree", perceptron).code == 0
    (perceptron.parent / "weights.bin").unlink()
    before = files(perceptron.parent)
    assert "'weights.bin'" in hx("extract", perceptron, "--all", cwd=perceptron.parent).error
    assert files(perceptron.parent) == before


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd"])
def test_external_data_outside_the_folder(hx, perceptron, location):
    _externalise(perceptron, location)
    before = files(perceptron.parent)
    assert repr(location) in hx("extract", perceptron, "--all", cwd=perceptron.parent).error
    assert files(perceptron.parent) == before


def test_output_below_a_file(hx, tmp_path, factories, perceptron):
    (tmp_path / "plain").write_text("a file")
    before = files(tmp_path)
    result = hx("export", f"{factories}:perceptron", "-o", tmp_path / "plain" / "model.onnx")
    assert "HX306" in result.error
    assert "HX306" in hx("extract", perceptron, "--all", "-o", tmp_path / "plain" / "modules").error
    assert files(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_write_permission(hx, tmp_path, factories):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "HX306" in hx("export", f"{factories}:perceptron", "-o", locked / "model.onnx").error


def test_full_disk(tmp_path, factories):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    target = tmp_path / "new" / "model.onnx"
    command = [*HX, "export", f"{factories}:perceptron", "-o", str(target)]
    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, cwd=tmp_path, check=False)
    assert result.returncode == 2, result.stderr
    lines = result.stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error[HX306]", "hint"]
    assert files(tmp_path) == {}
    assert not target.parent.exists()


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """Real processes that need not import torch again: forked from one that has."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hx_tracer", "hx_cli._main"])
    return context


@pytest.mark.parametrize("moment", ["model.onnx", "model_hierarchy.json"])
def test_kill_during_an_export_leaves_the_old_files(hx, perceptron, factories, processes, moment):
    folder = perceptron.parent
    before = files(folder)
    argv = ["-q", "export", f"{factories}:twice", "-o", str(perceptron), "--overwrite"]
    process = processes.Process(target=run, args=(argv,))
    process.start()
    while process.is_alive() and not list(folder.glob(f".hx-writing-*/files/{moment}")):
        time.sleep(0.0005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    after = files(folder)
    assert {name: after[name] for name in before} == before
    assert hx("-q", "tree", perceptron).code == 0
    assert hx("-q", "extract", perceptron, "-m", "first", "-o", folder / "first.onnx").code == 0
    assert not list(folder.glob(".hx-writing-*"))  # the next write cleans up


def test_kill_before_anything_is_written(perceptron, factories):
    folder = perceptron.parent
    before = files(folder)
    command = [*HX, "export", f"{factories}:twice", "-o", str(perceptron), "--overwrite"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert files(folder) == before


def test_against_a_model_that_is_another(hx, perceptron, factories):
    result = hx("extract", perceptron, "--all", "--against", "tiny:bert", "-o", perceptron.parent / "out")
    assert "HX407" in result.error
    assert not (perceptron.parent / "out").exists()


def test_interrupt_leaves_nothing(hx, tmp_path, factories):
    result = hx("export", f"{factories}:interrupted", cwd=tmp_path)
    assert result.code == 130
    assert files(tmp_path) == {}


def test_a_bug_is_named_as_one(hx, tmp_path, factories, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of\ntwo lines")

    monkeypatch.setattr("hx.export", broken)
    result = hx("export", f"{factories}:perceptron", cwd=tmp_path)
    assert result.code == 70
    assert result.err.splitlines()[0] == "error[HX700]: A bug in hx: ZeroDivisionError: of two lines"
    assert "HX_DEBUG=1" in result.err.splitlines()[1]
    monkeypatch.setenv("HX_DEBUG", "1")
    assert "Traceback" in hx("export", f"{factories}:perceptron", cwd=tmp_path).err
