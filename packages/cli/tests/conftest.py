"""One real export for all tests, and `hx` as a function."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, which is later

FACTORIES = """
import torch
from torch import nn


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 8)
        self.act = nn.ReLU()
        self.second = nn.Linear(8, 2)

    def forward(self, x):
        return self.second(self.act(self.first(x)))


class Branching(Perceptron):
    def forward(self, x):
        return self.first(x) if x.sum() > 0 else self.second(self.first(x))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Perceptron()
        self.widen = nn.Linear(2, 4)

    def forward(self, x):
        return self.block(self.widen(self.block(x)))


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Square() for _ in range(6))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Square(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        return self.inner(x).tanh()


class Deceiving(Perceptron):
    def forward(self, x):
        return self.first(x) + torch.compiler.is_exporting()


def deceiving():
    return Deceiving(), {"x": torch.ones(3, 4)}


def chatty():
    print("building")
    return perceptron()


def perceptron():
    return Perceptron(), {"x": torch.randn(3, 4, generator=torch.Generator().manual_seed(0))}


def branching():
    return Branching(), {"x": torch.ones(3, 4)}


def twice():
    return Twice(), {"x": torch.ones(3, 4)}


def deep():
    return Deep(), {"x": torch.ones(3, 4)}


def interrupted():
    raise KeyboardInterrupt


def raises():
    raise RuntimeError("weights are on the other machine")
"""


@dataclass(frozen=True)
class Result:
    """What a run of `hx` gave."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one error line; asserts that it and a hint are all there is."""
        lines = self.err.splitlines()
        assert self.code == 2, self.err
        assert len(lines) == 2, self.err
        assert lines[0].startswith("error[HX")
        assert lines[1].startswith("hint: ")
        assert lines[1].removeprefix("hint: ").strip()
        assert self.out == ""
        return lines[0]


Hx = Callable[..., Result]


@pytest.fixture(scope="session")
def libraries() -> None:
    """Import what logs to the streams that are there when it is imported: those of one test are closed in the next."""
    from hx_tracer import export, load_model  # noqa: F401


@pytest.fixture
def hx(libraries: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hx:
    """Run a command line in this process."""
    from hx_cli._main import run

    monkeypatch.delenv("COLUMNS", raising=False)  # readline sets it for the processes that pytest starts

    def call(*argv: object, cwd: Path | None = None, columns: int | None = None) -> Result:
        if cwd is not None:
            monkeypatch.chdir(cwd)
        if columns is not None:
            monkeypatch.setenv("COLUMNS", str(columns))
        capfd.readouterr()
        code = run([str(arg) for arg in argv])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def factories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of small models."""
    path = tmp_path_factory.mktemp("factories") / "models.py"
    path.write_text(FACTORIES)
    return path


@pytest.fixture(scope="session")
def export_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Export a model to `model.onnx` in a folder of its own."""
    from hx_cli._main import run

    def export(spec: str, *options: str) -> Path:
        path = tmp_path_factory.mktemp("export") / "model.onnx"
        assert run(["-q", "export", spec, *options, "-o", str(path)]) == 0
        return path

    return export


@pytest.fixture(scope="session")
def bert_once(export_once: Callable[..., Path]) -> Path:
    """A small BERT, exported with dynamic axes."""
    return export_once("tiny:bert", "--dynamic")


@pytest.fixture(scope="session")
def vit_once(export_once: Callable[..., Path]) -> Path:
    """A small ViT, exported."""
    return export_once("tiny:vit", "--no-verify")


@pytest.fixture(scope="session")
def whisper_once(export_once: Callable[..., Path]) -> Path:
    """A small Whisper, exported."""
    return export_once("tiny:whisper", "--no-verify")


@pytest.fixture(scope="session")
def perceptron_once(export_once: Callable[..., Path], factories: Path) -> Path:
    """A perceptron, exported."""
    return export_once(f"{factories}:perceptron")


@pytest.fixture
def bert(bert_once: Path, tmp_path: Path) -> Path:
    """The BERT in a folder that the test may change."""
    shutil.copytree(bert_once.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / bert_once.name


@pytest.fixture
def perceptron(perceptron_once: Path, tmp_path: Path) -> Path:
    """The perceptron in a folder that the test may change."""
    shutil.copytree(perceptron_once.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / perceptron_once.name


@pytest.fixture
def optimise() -> Callable[[Path, Path], Path]:
    """Write the graph that ONNX Runtime makes of a model, and return its path."""

    def write(source: Path, target: Path) -> Path:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 4
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        return target

    return write


@dataclass(frozen=True)
class Verified:
    """What `hx verify --json` gave."""

    record: dict[str, Any]
    exit: int

    def __getitem__(self, key: str) -> Any:
        return self.record[key]

    @property
    def named(self) -> str | None:
        """The culprit's name, with `@1` for a second call."""
        if self["culprit"] is None:
            return None
        entry = self["calls"][self["culprit"]]
        return f"{entry['fqn']}@{entry['call']}" if entry["call"] else entry["fqn"]

    def of(self, fqn: str) -> dict[str, Any]:
        """The entry of a module's first call."""
        return next(entry for entry in self["calls"] if entry["fqn"] == fqn)


@pytest.fixture(scope="session")
def verify_models() -> Path:
    """A file of models to verify."""
    return Path(__file__).parent / "data" / "verify_models.py"


@pytest.fixture
def exported(hx: Hx, verify_models: Path, tmp_path: Path) -> Callable[..., Path]:
    """Export a model to verify into the test's folder."""

    def export(name: str, *options: object) -> Path:
        path = tmp_path / f"{name}.onnx"
        assert hx("-q", "export", f"{verify_models}:{name}", "-o", path, *options).code == 0
        return path

    return export


@pytest.fixture
def verify(hx: Hx, verify_models: Path) -> Callable[..., Verified]:
    """Verify an export against the model of its name."""

    def call(path: Path, *options: object, against: str | None = None) -> Verified:
        spec = against or f"{verify_models}:{path.stem}"
        result = hx("verify", path, "--against", spec, "--json", *options)
        assert result.code in (0, 1), result.err
        assert result.err == ""
        return Verified(json.loads(result.out), result.code)

    return call


@pytest.fixture
def plant() -> Callable[..., None]:
    """Make one weight of an ONNX file wrong."""

    def change(path: Path, name: str, factor: float = 1.01) -> None:
        model = onnx.load(path)
        (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))
        onnx.save(model, path)

    return change
