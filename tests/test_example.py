"""The example of a profiling tool runs on an export, prints a row for every call, and loads no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import hx

SCRIPT = Path(__file__).parents[1] / "examples" / "time_a_module.py"
RUN = """
import runpy, sys
script, *sys.argv[1:] = sys.argv[1:]
runpy.run_path(script, run_name="__main__")
loaded = {"torch", "transformers", "onnxscript"} & set(sys.modules)
sys.exit(f"imported: {loaded}" if loaded else 0)
"""


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.rest = nn.Dropout()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.rest(self.inner(hidden).tanh())


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Block(), Block()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    hx.export(Net().eval(), {"x": torch.ones(2, 4)}, path, verify=False)
    return path


def time_a_module(*args: object) -> list[list[str]]:
    """Return the words of every line of the table but the head."""
    command = [sys.executable, "-c", RUN, str(SCRIPT), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["median", "us", "spread", "us", "nodes", "call"]
    return [row.split() for row in rows]


def test_every_call_that_matches_has_a_row_with_its_time(net: Path) -> None:
    files = sorted(net.parent.iterdir())
    rows = time_a_module(net, "/Net/.../Block*", "--runs", 5)
    assert [(row[2], row[3]) for row in rows] == [("2", "/Net/Block.0"), ("2", "/Net/Block.1")]
    assert all(float(row[0]) > 0 and float(row[1]) >= 0 for row in rows)
    assert sorted(net.parent.iterdir()) == files


def test_a_call_that_adds_no_node_says_so(net: Path) -> None:
    assert time_a_module(net, "layers.1.rest", "--runs", 1) == [["-", "-", "-", "/Net/Block.1/Dropout", "identity"]]
