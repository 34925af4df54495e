"""What the commands do when all is well, on real exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from hx_sidecar_schema import CONTEXT_VERSION, Sidecar


def run_onnx(path: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)


class TestExport:
    """`hx export`."""

    def test_json_is_one_record_and_all_there_is(self, hx, tmp_path, factories):
        result = hx("export", f"{factories}:chatty", "--json", cwd=tmp_path)
        assert result.code == 0
        record = json.loads(result.out)  # what the factory prints is not in it
        assert record["schema_version"] == "1.0"
        assert record["verification"]["status"] == "match"
        assert record["verification"]["relative_error"] < 1e-5
        assert record["nodes"] == len(Sidecar.load(tmp_path / "chatty_hierarchy.json").nodes)
        assert {file["path"]: file["size_bytes"] for file in record["files"]} == {
            path.name: path.stat().st_size for path in tmp_path.iterdir()
        }

    def test_summary_is_data_and_the_rest_is_not(self, hx, tmp_path, factories):
        result = hx("export", f"{factories}:perceptron", cwd=tmp_path)
        assert "100 % exact, 100 % covered" in result.out
        assert "Next: hx tree perceptron.onnx" in result.err
        assert hx("-q", "export", f"{factories}:perceptron", "--overwrite").out == ""

    def test_categories_on_request(self, hx, tmp_path, factories):
        assert "at least" not in hx("export", f"{factories}:perceptron", cwd=tmp_path).out
        assert "at least" in hx("export", f"{factories}:perceptron", "--overwrite", "-v").out

    def test_generator_names_command_time_and_versions(self, hx, tmp_path, factories, monkeypatch):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        argv = ["export", f"{factories}:perceptron", "-o", "a.onnx"]
        monkeypatch.setattr("sys.argv", ["hx", *argv])
        hx(*argv, cwd=tmp_path)
        generator = Sidecar.load(tmp_path / "a_hierarchy.json").generator
        assert generator.timestamp == "2023-11-14T22:13:20+00:00"
        assert generator.command == "hx export models.py:perceptron -o a.onnx"
        assert {"hx-onnx", "hx-projector", "torch", "onnx", "transformers"} <= generator.versions.keys()

    def test_equal_runs_give_equal_bytes(self, hx, tmp_path, factories, monkeypatch):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        runs: list[dict[str, bytes]] = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            hx("export", f"{factories}:twice", cwd=tmp_path / name)
            runs.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
        assert runs[0] == runs[1]

    def test_mismatch_is_said_written_and_exit_1(self, hx, tmp_path, factories):
        result = hx("export", f"{factories}:deceiving", "--json", cwd=tmp_path)
        assert result.code == 1
        assert json.loads(result.out)["verification"]["status"] == "mismatch"
        assert "warning: the outputs are not those of the PyTorch module" in result.err
        assert (tmp_path / "deceiving.onnx").exists()
        assert hx("export", f"{factories}:deceiving", "--no-verify", "--overwrite").code == 0

    def test_context_on_request(self, hx, tmp_path, factories):
        hx("export", f"{factories}:perceptron", "--keep-context", cwd=tmp_path)
        assert json.loads((tmp_path / "perceptron_context.json").read_text())["schema_version"] == CONTEXT_VERSION

    def test_dynamic_axes_and_those_the_model_fixes(self, hx, tmp_path, factories):
        result = hx("export", f"{factories}:perceptron", "--dynamic", "--json", cwd=tmp_path)
        record = json.loads(result.out)
        assert record["inputs"] == {"x": ["batch", 4]}
        assert record["static_axes"] == ["x:1"]
        assert "the model itself fixes 1 axis, left static: x:1" in result.err
        (output,) = run_onnx(tmp_path / "perceptron.onnx", {"x": np.ones((7, 4), np.float32)})
        assert output.shape == (7, 2)


SHARING = """
import torch
from torch import nn


class Choosing(nn.Module):
    def __init__(self):
        super().__init__()
        self.tables = nn.ParameterList(torch.randn(4, 4) for _ in range(2))

    def forward(self, x, place: int):
        return x @ self.tables[place]


class Layer(nn.Module):
    def __init__(self, shared):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.inner.weight = shared

    def forward(self, x):
        return self.inner(x).tanh()


class Sharing(nn.Module):
    def __init__(self):
        super().__init__()
        self.choosing = Choosing()
        shared = nn.Parameter(torch.randn(4, 4))
        self.layers = nn.ModuleList(Layer(shared) for _ in range(5))

    def forward(self, x):
        for place in (0, 1, 1):
            x = self.choosing(x, place)
        for layer in self.layers:
            x = layer(x)
        return x


def sharing():
    torch.manual_seed(0)
    return Sharing(), {"x": torch.ones(3, 4)}
"""


class TestTree:
    """`hx tree`."""

    def test_finds_the_only_export(self, hx, bert):
        result = hx("tree", cwd=bert.parent)
        assert result.code == 0
        assert "BertSelfAttention" in result.out
        assert "Linear" not in result.out
        assert result.err == ""

    @pytest.mark.parametrize("columns", [60, 80])
    def test_fits_the_terminal(self, hx, bert, columns):
        result = hx("tree", bert, columns=columns)
        assert max(map(len, result.out.splitlines())) <= columns
        assert "│" in result.out

    def test_is_whole_in_a_pipe(self, hx, bert):
        assert "…" not in hx("tree", bert, "--all").out

    def test_repetitions_are_one_line(self, hx, tmp_path, factories):
        assert hx("-q", "export", f"{factories}:deep", cwd=tmp_path).code == 0
        short = hx("tree").out
        assert "5 more like it, to Square.5" in short
        assert "Square.3" not in short
        assert "Square.3" in hx("tree", "--all").out

    def test_calls_of_one_module_are_one_line(self, hx, tmp_path, factories):
        assert hx("-q", "export", f"{factories}:twice", cwd=tmp_path).code == 0
        assert "Perceptron ×2" in hx("tree").out  # noqa: RUF001
        assert "Perceptron@1" in hx("tree", "--all").out

    def test_calls_drawn_as_one_read_a_weight_once(self, hx, tmp_path):
        (tmp_path / "models.py").write_text(SHARING)
        assert hx("-q", "export", "models.py:sharing", cwd=tmp_path).code == 0
        shown = [line.split() for line in hx("tree").out.splitlines()]
        weights = {line[1]: line[-1] for line in shown if len(line) > 2}
        assert weights["Choosing"] == "32"
        assert weights["Layer.0"] == "20"
        assert weights["…"] == "32"

    def test_counts_add_up(self, hx, bert):
        calls = json.loads(hx("tree", bert, "--all", "--json").out)["calls"]
        nodes = len(Sidecar.load(bert.with_name("model_hierarchy.json")).nodes)
        assert calls[0]["nodes"] == nodes == sum(call["own_nodes"] for call in calls)
        tagged = json.loads(hx("tree", bert, "--json").out)["calls"]
        assert sum(call["own_nodes"] for call in tagged) == nodes
        shallow = json.loads(hx("tree", bert, "--depth", "1", "--json").out)["calls"]
        assert sum(call["own_nodes"] for call in shallow) == nodes
        assert {call["depth"] for call in shallow} == {0, 1}

    def test_one_module(self, hx, bert):
        calls = json.loads(hx("tree", bert, "-m", "pooler", "--json").out)["calls"]
        assert [call["fqn"] for call in calls] == ["pooler", "pooler.dense", "pooler.activation"]


class TestExtract:
    """`hx extract`."""

    def test_one_match_is_a_file(self, hx, perceptron):
        result = hx("extract", "-m", "first", cwd=perceptron.parent)
        assert result.code == 0
        assert "equal to the whole model's" in result.out
        (output,) = run_onnx(perceptron.with_name("first.onnx"), {"input": np.ones((3, 4), np.float32)})
        assert output.shape == (3, 8)
        assert Sidecar.load(perceptron.with_name("first_hierarchy.json")).model.file == "first.onnx"
        assert hx("tree", cwd=perceptron.parent).code == 0  # still the one export here

    def test_all_is_a_folder_with_an_index_of_every_call(self, hx, bert):
        result = hx("extract", "--all", cwd=bert.parent)
        assert result.code == 0
        folder = bert.with_name("model_modules")
        index = json.loads((folder / "index.json").read_text())
        sidecar = Sidecar.load(bert.with_name("model_hierarchy.json"))
        assert [row["tag"] for row in index] == [sidecar.tag(call) for call in sidecar.calls]
        for row, call in zip(index, sidecar.calls, strict=True):
            assert (row["file"] is not None) == (call.status == "extractable")
            assert bool(row["reason"]) == (call.status != "extractable") or row["max_abs_error"] is None
            if row["file"]:
                model = onnx.load(folder / row["file"], load_external_data=False)
                used = [port["name"] for port in row["inputs"] if not port["unused"]]
                assert [value.name for value in model.graph.input] == used

    def test_all_against_pytorch(self, hx, bert, tmp_path):
        out = tmp_path / "out"
        result = hx("extract", bert, "--all", "--against", "tiny:bert", "-o", out, "--json")
        assert result.code == 0
        record = json.loads(result.out)
        assert record["compared_with"] == "pytorch"
        assert record["mismatches"] == 0
        done = [row for row in record["modules"] if row["status"] == "extractable"]
        assert done
        assert all(row["relative_error"] < 1e-4 for row in done)
        assert record["modules"] == json.loads((out / "index.json").read_text())

    def test_other_weights_are_a_mismatch(self, hx, perceptron, factories, tmp_path):
        models = tmp_path / "models.py"
        models.write_text(factories.read_text().replace("manual_seed(0)\n        self", "manual_seed(1)\n        self"))
        result = hx("extract", perceptron, "--all", "--against", f"{models}:perceptron", "-o", tmp_path / "out")
        assert result.code == 1
        assert "warning: /Perceptron: Differs" in result.err
        assert (tmp_path / "out" / "index.json").exists()

    def test_repeated_calls_have_files_of_their_own(self, hx, tmp_path, factories):
        assert hx("-q", "export", f"{factories}:twice", cwd=tmp_path).code == 0
        result = hx("extract", "-m", "block@*", "-o", "out", "--against", f"{factories}:twice")
        assert result.code == 0
        assert {p.name for p in (tmp_path / "out").glob("*.onnx")} == {"block.onnx", "block_1.onnx"}

    def test_new_run_replaces_the_files_of_the_old_one(self, hx, perceptron):
        hx("extract", "--all", "-o", "out", cwd=perceptron.parent)
        (perceptron.parent / "out" / "mine.txt").write_text("mine")
        assert hx("extract", "-m", "first", "-m", "act", "-o", "out", "--overwrite").code == 0
        left = {path.name for path in (perceptron.parent / "out").iterdir()}
        models = {"first.onnx", "first_hierarchy.json", "act.onnx", "act_hierarchy.json"}
        assert left == models | {"index.json", "mine.txt"}

    def test_says_how_many_of_how_many_are_equal(self, hx, tmp_path):
        """ONNX Runtime has no kernel for a product of bfloat16; it has one for a table that is read."""
        layers = ", ".join(["nn.Linear(4, 4)"] * 8)
        (tmp_path / "models.py").write_text(
            "import torch\nfrom torch import nn\ndef half():\n"
            f"    model = nn.Sequential(nn.Embedding(9, 4), {layers}, nn.Sigmoid()).bfloat16()\n"
            "    return model, (torch.arange(6).reshape(2, 3),)\n"
        )
        assert hx("-q", "export", "models.py:half", cwd=tmp_path).code == 0
        result = hx("extract", "half.onnx", "--all", columns=160)
        assert result.code == 0
        assert "compared with the whole model: 1 of 11 equal, largest error 0 of" in result.out
        assert "10 calls not compared:\n" in result.out
        reasons = [line for line in result.out.splitlines() if "no kernel" in line]
        assert [line.split(": ")[0].strip() for line in reasons] == ["Sequential and 8 more", "9"]
        assert "all equal" not in result.out

    def test_weights_none_makes_them_inputs(self, hx, perceptron):
        assert hx("extract", "-m", "first", "--weights", "none", cwd=perceptron.parent).code == 0
        model = onnx.load(perceptron.with_name("first.onnx"))
        assert not model.graph.initializer
        assert len(model.graph.input) == 3

    @pytest.mark.parametrize("columns", [60, 100])
    def test_fits_the_terminal(self, hx, bert, columns):
        result = hx("extract", bert, "-m", "BertLayer", "-o", bert.parent / "o", columns=columns)
        assert max(map(len, result.out.splitlines())) <= columns


def test_demo(hx, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["hx", "demo"])
    result = hx("demo", cwd=tmp_path, columns=100)
    assert result.code == 0, result.err
    assert "It runs at sizes that the export never saw" in result.out
    assert "not compared" not in result.out.lower()
    assert list((tmp_path / "hx-demo").glob("*attention*.onnx"))
    assert hx("-q", "demo").code == 0  # its own folder may be replaced
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert "HX402" in hx("demo", "-o", tmp_path / "mine").error


class TestReport:
    """`hx report`."""

    def test_records_that_are_given_twice_are_this_models_and_the_others(self, hx, perceptron):
        for name in ("after", "before"):
            text = hx("profile", perceptron, "--runs", 1, "--json", cwd=perceptron.parent).out
            perceptron.with_name(f"{name}.json").write_text(text)
        command = ["report", perceptron, "--profile", "after.json", "--profile", "before.json"]
        result = hx(*command, "-o", "page.html", cwd=perceptron.parent)
        assert (result.code, "against  " in result.out) == (0, True)
        page = perceptron.with_name("page.html").read_text()
        assert '"against":"other records of it"' in page
        refused = hx(*command, "--profile", "after.json", "-o", "three.html", cwd=perceptron.parent)
        assert "error[HX406]: 3 records of profile are given" in refused.err


def test_a_command_to_copy_has_its_file_quoted(hx, perceptron, tmp_path):
    shutil.copy(perceptron, tmp_path / "a b.onnx")
    assert "hx tree 'a b.onnx'" in hx("project", "a b.onnx", cwd=tmp_path).err


def test_no_command_is_named_that_would_not_find_the_sidecar(hx, perceptron, tmp_path):
    assert "Next" not in hx("project", perceptron, "-o", tmp_path / "other.json").err
