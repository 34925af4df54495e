"""Broken sidecars and models, and what hx does with them: a result, or an error with a code, soon."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from google.protobuf.descriptor import FieldDescriptor

import hx
from hx_cli._main import run

LIMIT_S = 20
ALLOWED = {0, 1, 2}
NAME = "m.onnx"
COMMANDS = (
    ["tree", NAME, "-a"],
    ["modules", NAME],
    ["nodes", NAME, "--module", "*"],
    ["analyze", NAME],
    ["validate", NAME],
    ["validate", NAME, "--repair"],
    ["extract", NAME, "--all", "-o", "parts", "--overwrite"],
    ["extract", NAME, "--all", "-o", "bare", "--no-verify", "--overwrite"],
    ["compare", NAME, "original.onnx"],
    ["relink", NAME, "--from", "original.onnx", "-o", "r.json", "--overwrite"],
    ["relink", "original.onnx", "--from", NAME, "-o", "r.json", "--overwrite"],
    ["project", NAME, "-o", "p.json", "--overwrite"],
    ["profile", NAME, "--runs", "1", "--warmup", "0"],
)
JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1, 7, 10**6, 2**31, 2**63, -(2**63) - 1, 10**30, 0.5, float("nan"), float("inf"),
    "", "x", "..", "/etc/passwd", "a\x00b", "\ud800", "é" * 50, "%s{0}[red]", "9**9**9", [], {}, [[]], [0, 0], {"": 0},
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How a command on a mutant ended; `seed` begins with the base that was broken."""

    seed: str
    command: str
    code: object
    seconds: float
    said: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether it did not end as it must."""
        return self.code not in ALLOWED or self.seconds > LIMIT_S


def mutated_json(rows: Any, draw: random.Random) -> Any:
    """Change one thing, or a few, in a tree of JSON values, in place."""
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        holder, key = draw.choice(list(_places(rows)))
        kind = draw.randrange(8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(draw.randrange(len(holder) + 1), json.loads(json.dumps(holder[key])))
        elif kind == 2 and isinstance(holder, list):
            other = draw.randrange(len(holder))
            holder[key], holder[other] = holder[other], holder[key]
        elif kind == 3 and isinstance(holder[key], int):
            holder[key] += draw.choice((-2, -1, 1, 2, 40))
        elif kind in (4, 5):
            other, name = draw.choice(list(_places(rows)))
            if type(other[name]) is type(holder[key]):
                holder[key] = json.loads(json.dumps(other[name]))
        else:
            holder[key] = draw.choice(JUNK)
    return rows


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def mutated_model(model: onnx.ModelProto, draw: random.Random) -> bytes:
    """Change one thing, or a few, in a model; sometimes in its bytes."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        message, field = draw.choice(list(_fields(model)))
        _change(message, field, draw)
    content = bytearray(model.SerializeToString())
    if draw.randrange(8) == 0:
        for _ in range(draw.randrange(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
    if draw.randrange(20) == 0:
        del content[draw.randrange(len(content)) :]
    return bytes(content)


def _fields(message: Any) -> Iterator[tuple[Any, FieldDescriptor]]:
    for field, value in message.ListFields():
        yield message, field
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from _fields(inner)


def _change(message: Any, field: FieldDescriptor, draw: random.Random) -> None:
    value = getattr(message, field.name)
    if draw.randrange(4) == 0:
        message.ClearField(field.name)
        return
    if field.is_repeated:
        position = draw.randrange(len(value))
        kind = draw.randrange(3)
        if kind == 0:
            del value[position]
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            value.add().CopyFrom(value[position])
        elif kind == 1:
            value.append(value[position])
        else:
            value[position] = _other(value[position], draw)
        return
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        with contextlib.suppress(ValueError, TypeError):
            setattr(message, field.name, _other(value, draw))


def _other(value: Any, draw: random.Random) -> Any:
    if isinstance(value, str):
        return draw.choice(("", "x", "y", value + "_", value[1:], "../secret", "fifo", "9**9**9", "ai.onnx"))
    if isinstance(value, bytes):
        return draw.choice((b"", value[:-1], value + b"\0", b"offset"))
    if isinstance(value, int):
        return draw.choice((0, 1, 2, 7, 8, 13, 20, 99, -1, value + 1, 2**31 - 1))
    return draw.choice((0.0, 1.0, -1.0, float("nan"), float("inf")))


def run_mutants(folders: list[Path], work: Path, seeds: range, *, commands_each: int = 2) -> Iterator[Outcome]:
    """Break one of some exports at each seed, run commands on it, and yield how each ended.

    Args:
        folders: Each holds `m.onnx` with its sidecar, as hx wrote them.
        work: An empty folder to work in; the current folder meanwhile.
        seeds: Of the mutants: even ones break the sidecar, odd ones the model.
        commands_each: Commands on every mutant.
    """
    with contextlib.chdir(work):
        for seed in seeds:
            draw = random.Random(seed)
            source = draw.choice(folders)
            for entry in work.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            for file in source.iterdir():
                shutil.copyfile(file, work / file.name)
            shutil.copyfile(source / NAME, work / "original.onnx")
            shutil.copyfile(source / "m_hierarchy.json", work / "original_hierarchy.json")
            os.mkfifo(work / "fifo")
            sidecar = work / "m_hierarchy.json"
            if seed % 2:
                (work / NAME).write_bytes(mutated_model(onnx.load(work / NAME, load_external_data=False), draw))
            else:
                sidecar.write_text(json.dumps(mutated_json(json.loads(sidecar.read_text()), draw)))
            for command in draw.sample(COMMANDS, commands_each):
                code, seconds, said = timed(command)
                yield Outcome(f"{source.name}:{seed}", " ".join(command), code, seconds, said)


def timed(command: list[str]) -> tuple[object, float, str]:
    """Run one command in this process; return its exit code, or what escaped, the seconds, and what it said last."""
    out, err = io.StringIO(), io.StringIO()

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    started = time.perf_counter()
    code: object
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(command)
    except BaseException as error:  # noqa: BLE001 whatever escapes is what is looked for
        code = repr(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return code, time.perf_counter() - started, (err.getvalue() or out.getvalue()).strip()[-400:]


class _Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = torch.nn.LayerNorm(4), torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(x)).relu() * scale + x


class _Net(torch.nn.Module):
    """Blocks called one after the other, one of them twice, and a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(_Block() for _ in range(2))
        self.left, self.right = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        for block in (*self.blocks, self.blocks[0]):
            x = block(x, scale)
        return torch.cond(x.sum() > 0, self.left, self.right, (x,))


def bases(folder: Path) -> list[Path]:
    """Write exports that differ in what their sidecars hold; each folder holds `m.onnx` with its sidecar."""
    torch.manual_seed(0)
    inputs = {"x": torch.randn(2, 4), "scale": torch.tensor(0.5)}
    module = _Net().eval()
    folders = {
        name: folder / name for name in ("static", "dynamic", "data", "torchscript", "part", "optimised", "foreign")
    }
    for each in folders.values():
        each.mkdir(parents=True)
    hx.export(module, inputs, f=folders["static"] / NAME, verify=False)
    hx.export(module, inputs, dynamic=True, f=folders["dynamic"] / NAME, verify=False)
    hx.export(_Block().eval(), inputs, dynamic=True, strategy="htp", f=folders["torchscript"] / NAME, verify=False)
    model = onnx.load(folders["static"] / NAME)
    onnx.save(model, folders["data"] / NAME, save_as_external_data=True, size_threshold=0, location="w.bin")
    shutil.copyfile(folders["static"] / "m_hierarchy.json", folders["data"] / "m_hierarchy.json")
    next(iter(hx.load(folders["static"] / NAME).calls("blocks.0"))).extract().save(
        folders["part"] / NAME, examples=True
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folders["optimised"] / NAME)
    onnxruntime.InferenceSession(folders["static"] / NAME, options)
    hx.relink(folders["optimised"] / NAME, folders["static"] / NAME)
    shutil.copyfile(folders["torchscript"] / NAME, folders["foreign"] / NAME)
    hx.project(folders["foreign"] / NAME)
    return list(folders.values())
