"""Models of ONNX text with the calls in them, and profiles as ONNX Runtime would write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from hx_extractor import Hierarchy, load
from hx_graph import all_nodes, example_record
from hx_profiler import Measurement, Profile, attribute, execute, read_trace
from hx_sidecar_schema import (
    ModelInfo,
    Module,
    ModuleCall,
    Node,
    Port,
    Provenance,
    Sidecar,
    TensorInfo,
    build_tags,
    graph_digest,
)

BRANCHING = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[4,4] x, int64 n, bool deep) => (float[4,4] y) {
    go = Constant<value = bool {1}>()
    [first] a = MatMul(x, x)
    [loop] b = Loop(n, go, a) <body = body (int64 i, bool c, float[4,4] s) => (bool co, float[4,4] so) {
        [keep] co = Identity(c)
        [inner] t = MatMul(s, x)
        [branch] so = If(deep) <
            then_branch = yes () => (float[4,4] u) { [yes] u = MatMul(t, x) },
            else_branch = no () => (float[4,4] v) { [no] v = Relu(t) }>
    }>
    [last] y = Relu(b)
}
"""
"""Root, a module with a loop, and a module inside of it that the loop's body runs."""
CALLS = [("", None), ("block", 0), ("block.inner", 1)]
OWNERS = {"b": 1, "t": 2, "so": 2, "u": 2, "v": 2, "co": 1}


def sidecar_of(
    model: ir.Model,
    calls: Sequence[tuple[str, int | None]],
    owners: Mapping[str, int],
    feeds: Mapping[str, Any] | None = None,
    *,
    covers: Mapping[str, list[int]] | None = None,
    missing: Sequence[str] = (),
    ports: Mapping[int, tuple[dict[str, str], dict[str, str]]] | None = None,
) -> Sidecar:
    """Return a sidecar made by hand.

    Args:
        model: Of which it is.
        calls: Fqn and parent's row of each; a repeated fqn is a later call of one module.
        owners: Row of the call that owns a node, by first output; the root by default.
        feeds: Recorded inputs.
        covers: Rows of the calls that a node stands for.
        missing: First outputs of nodes that it shall not have.
        ports: Inputs and outputs of calls, port name to value.
    """
    fqns = list(dict.fromkeys(fqn for fqn, _ in calls))
    classes = [f"net.{fqn.rpartition('.')[2].title() or 'Net'}" for fqn in fqns]

    def port(name: str, value: str) -> Port:
        return Port(name=name, value=value, dtype="FLOAT", shape=[4, 4])

    def info(value: ir.Value) -> TensorInfo:
        shape = [dim if isinstance(dim, int) else str(dim.value) for dim in value.shape or ()]
        array = (feeds or {}).get(str(value.name))
        example = example_record(array) if array is not None else None
        return TensorInfo(
            name=str(value.name), dtype=value.dtype.name if value.dtype else "", shape=shape, example=example
        )

    nodes = [(path, str(node.outputs[0].name), node.op_type) for path, node in all_nodes(model)]
    return Sidecar(
        generator=Provenance(),
        model=ModelInfo(
            file="model.onnx",
            opset_imports=dict(model.opset_imports),
            ir_version=model.ir_version,
            graph_digest=graph_digest(model),
            inputs=[info(value) for value in model.graph.inputs],
            outputs=[info(value) for value in model.graph.outputs],
        ),
        modules=[
            Module(
                fqn=fqn,
                class_name=name,
                tag=tag,
                tagged=True,
                parent=fqns.index(fqn.rpartition(".")[0]) if fqn else None,
            )
            for fqn, name, tag in zip(fqns, classes, build_tags(fqns, classes), strict=True)
        ],
        calls=[
            ModuleCall(
                module=fqns.index(fqn),
                index=[one for one, _ in calls[:row]].count(fqn),
                parent=parent,
                inputs=[port(*pair) for pair in (ports or {}).get(row, ({}, {}))[0].items()],
                outputs=[port(*pair) for pair in (ports or {}).get(row, ({}, {}))[1].items()],
            )
            for row, (fqn, parent) in enumerate(calls)
        ],
        nodes=[
            Node(
                graph=path,
                output=output,
                op_type=op_type,
                owner=owners.get(output, 0),
                evidence="exporter",
                confidence="high",
                covers=(covers or {}).get(output, []),
            )
            for path, output, op_type in nodes
            if output not in missing
        ],
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Hierarchy]:
    """Write a model with its sidecar, and open it."""

    def call(text: str, calls: Sequence[tuple[str, int | None]], owners: Mapping[str, int], **more: Any) -> Hierarchy:
        path = tmp_path / "model.onnx"
        ir.save(ir.from_onnx_text(text), path)
        sidecar_of(ir.load(path), calls, owners, **more).save(tmp_path / "model_hierarchy.json")
        return load(path)

    return call


@pytest.fixture
def branching(write: Callable[..., Hierarchy]) -> Hierarchy:
    """A loop with a branch in its body, recorded with three rounds."""
    feeds = {"x": np.eye(4, dtype=np.float32), "n": np.array(3), "deep": np.array(True)}
    return write(BRANCHING, CALLS, OWNERS, feeds=feeds)


@pytest.fixture
def measure(tmp_path: Path) -> Callable[..., Measurement]:
    """Run a model without optimisation and attribute its kernels."""

    def call(model: Hierarchy, **options: Any) -> Measurement:
        options = {"optimization": "disable", "runs": 4, "warmup": 1, "threads": 1, **options}
        folder = tmp_path / "session"
        folder.mkdir(exist_ok=True)
        done = execute(model.path or model.model, model.example_inputs(), folder, **options)
        return attribute(done.trace, done.executed, model.sidecar, model="model.onnx", settings=done.settings)

    return call


@pytest.fixture
def trace_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a profile as ONNX Runtime does: kernels in the order in which they end, then their run."""

    def call(*runs: Sequence[tuple[str, str, int, int, int]]) -> Path:
        """Each kernel is (name, operator, index, start, duration)."""
        rows: list[dict[str, Any]] = []
        for kernels in runs:
            for name, op_type, index, start, duration in kernels:
                args = {"op_name": op_type, "node_index": str(index), "provider": "CPUExecutionProvider"}
                rows.append(
                    {
                        "cat": "Node",
                        "ph": "X",
                        "tid": 7,
                        "name": f"{name}_kernel_time",
                        "ts": start,
                        "dur": duration,
                        "args": args,
                    }
                )
            start = min(kernel[3] for kernel in kernels)
            end = max(kernel[3] + kernel[4] for kernel in kernels)
            rows.append(
                {
                    "cat": "Session",
                    "ph": "X",
                    "tid": 7,
                    "name": "model_run",
                    "ts": start - 1,
                    "dur": end - start + 2,
                    "args": {},
                }
            )
        path = tmp_path / "trace.json"
        path.write_text(json.dumps(rows))
        return path

    return call


@pytest.fixture
def branching_net() -> tuple[str, list[tuple[str, int | None]], dict[str, int]]:
    """The text, calls and owners of `branching`."""
    return BRANCHING, CALLS, OWNERS


@pytest.fixture
def measurement_of() -> Callable[..., Measurement]:
    """Attribute the kernels of a profile to the calls of a model made by hand; see `sidecar_of`."""

    def call(path: Path, text: str, calls: Any = (("", None),), owners: Any = None, **more: Any) -> Measurement:
        model = ir.from_onnx_text(text)
        sidecar = sidecar_of(model, calls, owners or {}, **more)
        return attribute(read_trace(path), model, sidecar, model="m")

    return call


@pytest.fixture
def profile_of(measurement_of: Callable[..., Measurement]) -> Callable[..., Profile]:
    """The profile of `measurement_of`."""
    return lambda *args, **more: measurement_of(*args, **more).profile
