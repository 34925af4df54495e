"""The same input gives the same bytes in any folder, under any hash seed; and nothing written names a folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODEL = """
import torch

class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.conv, self.norm = torch.nn.Linear(4, 4), torch.nn.Conv1d(2, 2, 1), torch.nn.BatchNorm1d(2)

    def forward(self, x, scale):
        return self.norm(self.conv(self.fc(x).relu())) * scale + x

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block() for _ in range(2))

    def forward(self, x, scale):
        for block in (*self.blocks, self.blocks[0]):
            x = block(x, scale)
        return x if x.ndim == 3 else x.numpy()

def make():
    torch.manual_seed(0)
    return Net().eval(), {"x": torch.randn(2, 2, 4), "scale": torch.tensor(0.5)}

class Refused(Net):
    def forward(self, x, scale):
        return self.blocks[0](x, scale) if x.sum() > 0 else x

def refused():
    return Refused().eval(), {"x": torch.ones(2, 2, 4), "scale": torch.tensor(0.5)}
"""
COMMANDS = [
    ["export", "{here}net.py:make", "-o", "{here}m.onnx", "--dynamic", "--keep-context", "--embed", "--cross-check"],
    ["export", "{here}net.py:make", "-o", "{here}ts.onnx", "--strategy", "htp", "--keep-context"],
    ["export", "{here}net.py:refused", "-o", "{here}refused.onnx"],
    *([verb, "{here}m.onnx"] for verb in ("tree", "modules", "analyze", "validate")),
    ["nodes", "{here}m.onnx", "--module", "*"],
    ["extract", "{here}m.onnx", "--all", "-o", "{here}parts"],
    ["extract", "{here}m.onnx", "-m", "blocks.0", "-o", "{here}one.onnx", "--against", "{here}net.py:make"],
    ["extract", "{here}m.onnx", "-m", "blocks.0", "--weights", "none", "-o", "{here}bare.onnx"],
    ["verify", "{here}one.onnx", "--against", "{here}net.py:make"],
    ["relink", "{here}copy.onnx", "--from", "{here}m.onnx", "-o", "{here}copy.json"],
    ["project", "{here}copy.onnx"],
    ["project", "{here}copy.onnx", "--against", "{here}net.py:make", "-o", "{here}against.json"],
    ["compare", "{here}m.onnx", "{here}copy.onnx"],
    ["debug", "{here}net.py:make", "-o", "{here}session", "--no-verify"],
    ["debug", "{here}net.py:refused", "-o", "{here}session2"],
    [
        *["profile", "{here}m.onnx", "--runs", "2", "--csv", "{here}p.csv", "--html", "{here}p.html"],
        *["--speedscope", "{here}p.json", "--chrome-trace", "{here}c.json"],
    ],
    ["profile", "{here}m.onnx", "--isolated", "-m", "blocks.0", "--runs", "2"],
]
RUNS = """
import contextlib, io, json, shutil, sys
from pathlib import Path
from hx_cli._main import run
here, commands = sys.argv[1], json.loads(sys.argv[2])
for number, command in enumerate(commands):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = run([*(word.format(here=here) for word in command), "--json"])
    Path(here, f"said{number}.json").write_text(said.getvalue())
    Path(here, f"code{number}").write_text(str(code))
    if number == 1:
        shutil.copyfile(here + "ts.onnx", here + "copy.onnx")
import net, hx
hx.export(*net.make()[:1], kwargs=net.make()[1], f=here + "memory.onnx", keep_context=True)
"""


def run_all(folder: Path, cwd: Path, here: str, seed: str) -> subprocess.Popen[bytes]:
    (folder / "net.py").write_text(MODEL)
    settings = {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": "1700000000", "PYTHONPATH": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RUNS, here, json.dumps(COMMANDS)], cwd=cwd, env=os.environ | settings
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders where all commands ran: by absolute names, and by relative ones from below."""
    one, other = (tmp_path_factory.mktemp(name) / "place" for name in ("firstly", "secondly"))
    (other / "netherplace").mkdir(parents=True)
    one.mkdir()
    running = [run_all(one, one.parent, f"{one}/", "1"), run_all(other, other / "netherplace", "../", "77")]
    assert [process.wait() for process in running] == [0, 0]
    (other / "netherplace").rmdir()
    return one, other


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_all_commands_did_what_they_should(both: tuple[Path, Path]) -> None:
    codes = [int((both[0] / f"code{number}").read_text()) for number in range(len(COMMANDS))]
    ended = {number: code for number, code in enumerate(codes) if code}
    assert [(" ".join(COMMANDS[number][:2]), code) for number, code in ended.items()] == [
        ("export {here}net.py:refused", 2),
        ("compare {here}m.onnx", 1),
        ("debug {here}net.py:refused", 1),
    ]


def test_the_bytes_are_the_same(both: tuple[Path, Path]) -> None:
    one, other = files_of(both[0]), files_of(both[1])
    assert one.keys() == other.keys()
    assert len(one) > 60
    differ = [name for name in one if one[name] != other[name] and not is_measured(name)]
    assert [name for name in differ if without_measures(one[name]) != without_measures(other[name])] == []


def is_measured(name: str) -> bool:
    """Whether a file holds times above all else; of `said`, those of `hx profile`."""
    told = re.fullmatch(r"said(\d+)\.json", name)
    if told:
        return COMMANDS[int(told[1])][0] == "profile"
    return name in ("p.csv", "p.html", "p.json", "c.json") or Path(name).name in ("log.txt", "report.md")


def without_measures(content: bytes) -> Any:
    """Return a JSON record without times, memory, and the sizes of files that hold such."""
    return re.sub(rb'"(seconds|size_bytes|peak_memory_bytes|load|export|attribute|save|verify)": ?[\d.]+', b"", content)


def test_nothing_names_a_folder(both: tuple[Path, Path]) -> None:
    places = [str(folder.parent).encode() for folder in both]
    places += [b"firstly", b"secondly", b"netherplace", b"../net", b"../m.onnx", b"site-packages", sys.prefix.encode()]
    for folder in both:
        held = {name: [place for place in places if place in content] for name, content in files_of(folder).items()}
        assert {name: found for name, found in held.items() if found} == {}
