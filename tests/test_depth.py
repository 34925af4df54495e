"""Modules nested five hundred and two thousand deep go through every command, in a time that follows their number."""

from __future__ import annotations

import time
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from hx_cli._main import run
from hx_sidecar_schema import (
    Example,
    Initializer,
    ModelInfo,
    Module,
    ModuleCall,
    Node,
    Port,
    Provenance,
    Sidecar,
    TensorInfo,
    graph_digest,
)


def nested(folder: Path, depth: int) -> Path:
    """Write a model of modules inside each other, each with one node; the innermost has a weight."""
    lines = [f"v{row + 1} = Relu(v{row})" for row in range(depth - 1)]
    body = "\n".join([*lines, f"v{depth} = Add(v{depth - 1}, w)"])
    text = f'<ir_version: 10, opset_import: ["": 20]> main (float[4] v0) => (float[4] v{depth}) <float[4] w = {{0, 0, 0, 0}}> {{ {body} }}'
    path = folder / "m.onnx"
    ir.save(ir.from_onnx_text(text), path)
    model = onnx.load(path)
    modules, calls, tag = [], [], ""
    for row in range(depth):
        tag += "/Net.m" if row else "/Net"
        below = depth - 1 - row
        modules.append(
            Module(
                fqn=".".join("m" * row),
                class_name="net.Net",
                tag=tag,
                tagged=True,
                parent=row - 1 if row else None,
                forward_args=["x"],
                parameters=[".".join(["m"] * below + ["w"])],
                direct_parameters=[] if below else ["w"],
                children={"m": "Net"} if below else {},
            )
        )
        calls.append(
            ModuleCall(
                module=row,
                index=0,
                parent=row - 1 if row else None,
                inputs=[Port(name="x", value=f"v{row}", dtype="FLOAT", shape=[4])],
                outputs=[Port(name="output", value=f"v{depth}", dtype="FLOAT", shape=[4])],
            )
        )
    Sidecar(
        generator=Provenance(),
        model=ModelInfo(
            file=path.name,
            opset_imports={"": 20},
            ir_version=10,
            graph_digest=graph_digest(ir.load(path)),
            inputs=[TensorInfo(name="v0", dtype="FLOAT", shape=[4], example=Example(shape=[4], low=0, high=1))],
            outputs=[TensorInfo(name=f"v{depth}", dtype="FLOAT", shape=[4])],
        ),
        modules=modules,
        calls=calls,
        nodes=[
            Node(output=node.output[0], op_type=node.op_type, owner=row, evidence="exporter", confidence="high")
            for row, node in enumerate(model.graph.node)
        ],
        initializers=[Initializer(name="w", parameter=f"{modules[-1].fqn}.w", elements=4, readers=[depth - 1])],
    ).with_file_digest(path).save(path.with_name("m_hierarchy.json"))
    return path


COMMANDS = [
    ["tree"],
    ["tree", "-a", "--json"],
    ["modules", "--json"],
    ["nodes", "--module", "*", "--json"],
    ["validate"],
    ["analyze"],
    ["compare", "m.onnx"],
    ["relink", "--from", "m.onnx", "-o", "relinked.json"],
    ["project", "-o", "projected.json"],
    ["extract", "-m", ".".join("m" * 250), "-o", "part.onnx"],
    ["profile", "--runs", "1", "--warmup", "0", "--all"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_five_hundred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    nested(tmp_path, 500)
    monkeypatch.chdir(tmp_path)
    assert run(["validate", "m.onnx", "--repair"]) == 0
    assert run([command[0], "m.onnx", *command[1:]]) == 0


def test_two_thousand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    nested(tmp_path, 2000)
    monkeypatch.chdir(tmp_path)
    started = time.process_time()
    assert run(["validate", "m.onnx", "--repair"]) == 0
    assert run(["tree", "m.onnx"]) == 0
    assert run(["compare", "m.onnx", "m.onnx"]) == 0
    assert run(["profile", "m.onnx", "--runs", "1", "--warmup", "0", "--html", "flame.html"]) == 0
    assert time.process_time() - started < 60
    assert len(capsys.readouterr().out.splitlines()) > 2000
