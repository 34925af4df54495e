"""A model by hand, with what graphs can have: a function, a branch that captures a value, a module that is called twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir
import pytest

from hx_extractor import Hierarchy, load
from hx_graph import all_nodes, output_of
from hx_sidecar_schema import (
    Initializer,
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

MODEL = """
<ir_version: 10, opset_import: ["" : 20, "local" : 1]>
main (float[batch,3] x, bool yes) => (float[batch,3] y)
<float[3] w = {1, 2, 3}>
{
  a = Add(x, w)
  b = local.twice(a)
  c = If (yes) <
    then_branch = then () => (float[batch,3] t) { t = Neg(b) },
    else_branch = else () => (float[batch,3] e) { k = Constant<value = float[3] {0, 0, 0}>() e = Mul(b, k) }
  >
  y = Add(c, w)
}
<domain: "local", opset_import: ["" : 20]>
twice (p) => (q) { q = Add(p, p) }
"""
CALLS = [
    ("", 0, None),
    ("block", 0, 0),
    ("block.add", 0, 1),
    ("block.cond", 0, 1),
    ("block.add", 1, 0),
    ("idle", 0, None),
]
OWNERS = {"a": 2, "b": 1, "c": 3, "t": 3, "k": 3, "e": 3, "y": 4, "q": 1}


def sidecar_of(model: ir.Model, *, fqns: dict[str, str] | None = None) -> Sidecar:
    """The sidecar of the model above; `fqns` renames modules."""
    names = list(dict.fromkeys((fqns or {}).get(fqn, fqn) for fqn, _, _ in CALLS))
    classes = [f"net.{name.rpartition('.')[2].title() or 'Net'}" for name in names]
    tags = build_tags(names, classes)
    modules = [
        Module(
            fqn=name,
            class_name=kind,
            tag=tag,
            tagged=True,
            parent=names.index(name.rpartition(".")[0]) if name else None,
        )
        for name, kind, tag in zip(names, classes, tags, strict=True)
    ]
    port = Port(name="input", value="x", dtype="FLOAT", shape=["batch", 3])
    calls = [
        ModuleCall(
            module=names.index((fqns or {}).get(fqn, fqn)),
            index=index,
            parent=parent,
            status="extractable" if row < 5 else "not_called",
            inputs=[port] if row < 2 else [],
        )
        for row, (fqn, index, parent) in enumerate(CALLS)
    ]
    nodes = [
        Node(
            graph=path,
            output=output_of(node),
            op_type=node.op_type,
            owner=OWNERS[output_of(node)],
            evidence="exporter",
            confidence="high",
        )
        for path, node in all_nodes(model)
    ]
    return Sidecar(
        generator=Provenance(),
        model=ModelInfo(
            file="model.onnx",
            opset_imports=dict(model.opset_imports),
            ir_version=model.ir_version,
            graph_digest=graph_digest(model),
            inputs=[
                TensorInfo(name="x", dtype="FLOAT", shape=["batch", 3]),
                TensorInfo(name="yes", dtype="BOOL", shape=[]),
            ],
            outputs=[TensorInfo(name="y", dtype="FLOAT", shape=["batch", 3])],
        ),
        modules=modules,
        calls=calls,
        nodes=nodes,
        initializers=[Initializer(name="w", parameter="block.weight", elements=3, readers=[2, 4])],
    )


@pytest.fixture
def hierarchy(tmp_path: Path) -> Hierarchy:
    """The model and its sidecar, in files."""
    model = ir.from_onnx_text(MODEL)
    ir.save(model, tmp_path / "model.onnx")
    sidecar_of(model).with_file_digest(tmp_path / "model.onnx").save(tmp_path / "model_hierarchy.json")
    return load(tmp_path / "model.onnx")


@pytest.fixture
def renamed() -> Callable[[str], Hierarchy]:
    """The model in memory, with a name of one's own in an input, a result and a module."""

    def rename(name: str) -> Hierarchy:
        model = ir.from_onnx_text(MODEL)
        sidecar = sidecar_of(model, fqns={"block.add": f"block.{name}"})
        for value in (model.graph.inputs[0], model.graph.node(0).outputs[0]):
            value.name = f"{value.name}{name}"
        rows = [row.model_copy(update={"output": f"a{name}"}) if row.output == "a" else row for row in sidecar.nodes]
        return Hierarchy(None, sidecar.model_copy(update={"nodes": rows}), model)

    return rename
