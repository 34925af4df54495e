"""`hx debug`."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

MODELS = """
import torch
from torch import nn


class Weighed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.first = nn.Linear(4, 5)
        self.scale = nn.Parameter(torch.rand(5))
        self.gain = nn.Parameter(torch.tensor(0.4567891))
        self.register_buffer("shift", torch.rand(5))
        self.table = torch.rand(5)
        self.runs = 0

    def forward(self, x):
        return self.first(x) * self.scale * self.gain + self.shift + self.table


class Branching(Weighed):
    def forward(self, x):
        if x.sum() > 0:
            x = x * 2
        return super().forward(x)


class Unexportable(Weighed):
    def forward(self, x):
        y = super().forward(x)
        if y.sum() < 100:
            raise ValueError(f"not with {self.first.bias}, {self.scale}") if torch.onnx.is_in_onnx_export() else None
        return y


RUNS = []


class Changing(Weighed):
    def forward(self, x):
        RUNS.append(1)
        for _ in range(len(RUNS)):
            x = x.tanh()
        return super().forward(x)


class Deceiving(Weighed):
    def forward(self, x):
        return super().forward(x) + torch.compiler.is_exporting()


def inputs():
    return {"x": torch.linspace(0.1234567, 0.7654321, 12).reshape(3, 4)}


def weighed():
    return Weighed(), inputs()


def branching():
    return Branching(), inputs()


def unexportable():
    return Unexportable(), inputs()


def changing():
    return Changing(), inputs()


def deceiving():
    return Deceiving(), inputs()


def broken():
    raise RuntimeError(f"no weights in {__file__}")
"""

ALWAYS = {"log.txt", "report.md", "session.json"}
EXPORTED = {
    *ALWAYS,
    "plain.onnx",
    "model.onnx",
    "model_hierarchy.json",
    "modules.json",
    "context.json",
    "comparison.json",
}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home folder with a folder in it that one works in, and a file of models."""
    home = tmp_path / "homes" / "erika"
    (home / "project").mkdir(parents=True)
    (home / "models.py").write_text(MODELS)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "project")
    return home


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def record(folder: str | Path) -> dict[str, Any]:
    return json.loads((Path(folder) / "session.json").read_text())


def weights() -> dict[str, np.ndarray[Any, Any]]:
    """All numbers of the model, and of its inputs."""
    made: dict[str, Any] = {}
    exec(MODELS, made)
    module, inputs = made["weighed"]()
    tensors = {**module.state_dict(), "table": module.table, **inputs}
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def leaks(folder: Path, home: Path) -> list[str]:
    """Say what is in a folder that should not be there."""
    found: list[str] = []
    for path in folder.iterdir():
        content = path.read_bytes()
        for word in (str(home), str(Path.cwd()), "erika", str(home.parent)):
            found += [f"{path.name}: {word}"] if word.encode() in content else []
        for name, array in weights().items():
            for form in (array, array.T):
                numbers = np.ascontiguousarray(form).tobytes()
                found += [f"{path.name}: {name}"] if numbers in content else []
            for value in array.flat:
                texts = (f"{value:.4f}", f"{value:.5f}"[:-1], repr(float(value))[:8])
                found += [f"{path.name}: {name} as text" for text in texts if text.encode() in content]
    return found


@pytest.mark.parametrize("strategy", ["dynamo", "htp"])
def test_both_exports_and_all_that_is_known_of_them(hx, home, strategy):
    result = hx("debug", "../models.py:weighed", "-o", "session", "--strategy", strategy)
    assert (result.code, result.err) == (0, "")
    folder = Path("session")
    expected = EXPORTED | ({"exporter_report.md"} if strategy == "dynamo" else set())
    assert names(folder) == expected
    found = record(folder)
    assert (found["verdict"], found["strategy"], found["class_name"].rsplit(".", 1)[-1]) == (
        "same",
        strategy,
        "Weighed",
    )
    assert [(row["kind"], row["status"]) for row in found["attempts"]] == [("hierarchy", "done"), ("plain", "done")]
    assert found["inputs"] == [{"name": "x", "dtype": "float32", "shape": [3, 4]}]
    assert found["verification"]["status"] == "match"
    assert found["comparison"]["same"] is True
    assert found["first_difference"] is None
    assert {row["path"] for row in found["files"]} == expected - {"session.json"}
    assert found["environment"]["versions"]["torch"] == version("torch")
    assert hx("compare", "session/plain.onnx", "session/model.onnx").code == 0
    assert "Weighed" in hx("tree", "session/model.onnx").out
    assert leaks(folder, home) == []


def test_the_page_begins_with_what_a_maintainer_asks_first(hx, home):
    hx("debug", f"{home}/models.py:weighed", "-o", "session")
    lines = [line for line in Path("session/report.md").read_text().splitlines() if line]
    assert lines[0] == "# models.py:weighed"
    assert lines[1] == f"**{record('session')['summary']}**"
    assert lines[2:5] == ["```sh", "hx debug models.py:weighed -o session", "```"]
    assert f"torch {version('torch')}" in next(line for line in lines if line.startswith("* CPython"))
    for name in names(Path("session")):
        assert f"| `{name}` | " in "\n".join(lines)


def test_weights_are_there_where_they_are_asked_for(hx, home):
    assert hx("debug", "../models.py:weighed", "-o", "session", "--with-weights").code == 0
    for name in ("model.onnx", "plain.onnx"):
        assert weights()["first.weight"].tobytes() in Path("session", name).read_bytes()
    assert hx("verify", "session/model.onnx", "--against", "../models.py:weighed").code == 0
    assert str(home).encode() not in b"".join(path.read_bytes() for path in Path("session").iterdir())


def test_every_strategy_that_was_tried_says_why_it_failed(hx, home):
    result = hx("debug", "../models.py:branching", "-o", "session", "--strategy", "auto", "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found == record("session") | {"files": found["files"]}
    tried = [(row["kind"], row["strategy"], row["settings"], row["status"]) for row in found["attempts"]]
    assert tried == [
        ("hierarchy", "dynamo", "", "failed"),
        ("hierarchy", "htp", "", "done"),
        ("plain", "dynamo", "", "failed"),
        ("plain", "dynamo", "under torch.no_grad()", "failed"),
        ("plain", "htp", "", "done"),
    ]
    error = found["attempts"][0]["error"]
    assert (error["code"], "data-dependent" in error["message"]) == ("HX120", True)
    assert "models.py" in error["traceback"]
    assert "data-dependent" in Path("session/report.md").read_text()
    assert leaks(Path("session"), home) == []


def test_a_session_of_a_model_that_cannot_be_exported(hx, home):
    result = hx("debug", "../models.py:branching", "-o", "session")
    assert (result.code, result.err) == (1, "")
    assert result.out.startswith("Neither hx nor torch.onnx.export alone exports the model: ")
    assert names(Path("session")) == {*ALWAYS, "modules.json", "exporter_report.md"}
    found = record("session")
    assert (found["verdict"], found["comparison"], found["nodes"]) == ("failed", None, None)
    assert {step["name"]: step["status"] for step in found["steps"]} == {
        "load": "done",
        "inputs": "done",
        "export": "failed",
        "plain": "failed",
    }
    page = Path("session/report.md").read_text()
    for word in ("hint: ", "| `x` | float32 | [3, 4] |", "first: Linear", "<model>/models.py"):
        assert word in page
    assert leaks(Path("session"), home) == []


def test_numbers_that_an_error_prints_are_left_out(hx, home):
    assert hx("debug", "../models.py:unexportable", "-o", "session").code == 1
    assert "not with" in Path("session/report.md").read_text()
    assert leaks(Path("session"), home) == []


def test_a_session_of_a_model_that_cannot_be_loaded(hx, home):
    result = hx("debug", "../models.py:broken", "-o", "session")
    assert result.code == 2
    assert result.err.startswith("error[HX105]")
    assert names(Path("session")) == ALWAYS
    found = record("session")
    assert (found["verdict"], found["class_name"], found["attempts"]) == ("not_loaded", None, [])
    assert found["steps"][0]["error"]["code"] == "HX105"
    assert "<model>/models.py" in Path("session/report.md").read_text()
    assert leaks(Path("session"), home) == []


def test_exports_that_differ_are_told_apart(hx, home):
    result = hx("debug", "../models.py:changing", "-o", "session", "--no-verify")
    assert (result.code, result.err) == (1, "")
    assert result.out.startswith("The two exports differ: ")
    found = record("session")
    assert found["verdict"] == "different"
    assert "Tanh" in found["comparison"]["operators"]
    assert "| Tanh | " in Path("session/report.md").read_text()


def test_numbers_that_are_not_pytorchs_are_told(hx, home):
    assert hx("debug", "../models.py:deceiving", "-o", "session").code == 1
    assert record("session")["verdict"] == "numbers_differ"


@pytest.mark.parametrize("model", ["bert", "vit", "whisper"])
def test_a_plain_export_of_a_real_model_is_the_same_graph(hx, home, model):
    options = ["--dynamic"] if model == "bert" else []
    result = hx("debug", f"tiny:{model}", "-o", "session", "--no-verify", *options)
    assert (result.code, result.err) == (0, ""), result.out
    proto = onnx.load("session/plain.onnx")
    assert not proto.graph.initializer
    assert str(home) not in str(proto)


def test_a_folder_that_exists_is_replaced_only_if_asked(hx, home):
    folder = Path("session")
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    for option in ([], ["--overwrite"]):  # it is no session
        assert "HX402" in hx("debug", "../models.py:broken", "-o", "session", *option).error
        assert names(folder) == {"old.txt"}
    (folder / "session.json").write_text('{"files": [{"path": "old.txt"}]}')
    assert hx("debug", "../models.py:broken", "-o", "session", "--overwrite").code == 2
    assert names(folder) == ALWAYS
    assert names(Path()) == {"session"}
