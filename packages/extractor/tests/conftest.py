"""Exports made by hand: an ONNX text and the calls in it, written as `hx export` would."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from hx_extractor import Hierarchy, load
from hx_graph import all_nodes, output_of
from hx_sidecar_schema import (
    Example,
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

ExportByHand = Callable[..., Hierarchy]


def _values(model: ir.Model) -> dict[str, ir.Value]:
    graph = model.graph
    outputs = (out for node in graph for out in node.outputs)
    return {str(value.name): value for value in (*graph.inputs, *graph.initializers.values(), *outputs)}


def _shape(value: ir.Value) -> list[int | str]:
    return [dim if isinstance(dim, int) else str(dim.value) for dim in value.shape or ()]


def _dtype(value: ir.Value) -> str:
    return value.dtype.name if value.dtype else "UNDEFINED"


def _ports(
    carriers: Mapping[str, str], values: Mapping[str, ir.Value], spec: Mapping[str, Any], implicit: bool = False
) -> list[Port]:
    ports: list[Port] = []
    for name, carrier in carriers.items():
        value = values.get(carrier)
        weight = value is not None and value.is_initializer()
        ports.append(
            Port(
                name=name,
                value=None if weight else carrier,
                initializer=carrier if weight else None,
                dtype=_dtype(value) if value is not None else "FLOAT",
                shape=_shape(value) if value is not None else [],
                unused=name in spec.get("unused", ()),
                implicit=implicit,
            )
        )
    return ports


def _call(row: int, spec: Mapping[str, Any], modules: list[str], values: Mapping[str, ir.Value]) -> ModuleCall:
    return ModuleCall(
        module=modules.index(spec["fqn"]),
        index=spec.get("index", 0),
        parent=spec.get("parent", 0) if row else None,
        status=spec.get("status", "extractable"),
        reason=spec.get("reason", ""),
        inputs=_ports(spec["inputs"], values, spec) + _ports(spec.get("implicit", {}), values, spec, implicit=True),
        outputs=_ports(spec["outputs"], values, spec),
    )


def _tensor(value: ir.Value, feeds: Mapping[str, np.ndarray]) -> TensorInfo:
    array = feeds.get(str(value.name))
    example = None
    if array is not None:
        data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes())).decode()
        example = Example(shape=list(array.shape), data=data)
    return TensorInfo(name=str(value.name), dtype=_dtype(value), shape=_shape(value), example=example)


def _export_by_hand(
    folder: Path,
    text: str,
    calls: Sequence[Mapping[str, Any]],
    *,
    owners: Mapping[str, int] | None = None,
    feeds: Mapping[str, np.ndarray] | None = None,
    external: str | None = None,
    name: str = "model",
) -> Hierarchy:
    """Write and open an export.

    Args:
        folder: Where to.
        text: The model, in ONNX's text format; types of inner values are inferred.
        calls: The root first. Each has `fqn`, `inputs` and `outputs` (port name to value), and may have `index`,
            `parent` (row), `status`, `reason`, `unused` (port names) and `implicit` (port name to value).
        owners: Row of the call that owns a node, by the node's first output; the root by default.
        feeds: Recorded inputs.
        external: Name of a data file that every weight goes to.
        name: Of the files, without suffix.
    """
    proto = onnx.shape_inference.infer_shapes(ir.to_proto(ir.from_onnx_text(text)))
    model = ir.from_proto(proto)
    values = _values(model)
    fqns = list(dict.fromkeys(spec["fqn"] for spec in calls))
    classes = [f"net.{fqn.rpartition('.')[2].title() or 'Net'}" for fqn in fqns]
    tags = build_tags(fqns, classes)
    parents = [fqn.rpartition(".")[0] for fqn in fqns]
    sidecar = Sidecar(
        generator=Provenance(),
        model=ModelInfo(
            file=f"{name}.onnx",
            opset_imports=dict(model.opset_imports),
            ir_version=model.ir_version,
            graph_digest=graph_digest(model),
            inputs=[_tensor(value, feeds or {}) for value in model.graph.inputs],
            outputs=[_tensor(value, {}) for value in model.graph.outputs],
        ),
        modules=[
            Module(fqn=fqn, class_name=class_name, tag=tag, tagged=True, parent=fqns.index(parent) if fqn else None)
            for fqn, class_name, tag, parent in zip(fqns, classes, tags, parents, strict=True)
        ],
        calls=[_call(row, spec, fqns, values) for row, spec in enumerate(calls)],
        nodes=[
            Node(
                graph=path,
                output=output_of(node),
                op_type=node.op_type,
                owner=(owners or {}).get(output_of(node), 0),
                evidence="exporter",
                confidence="high",
            )
            for path, node in all_nodes(model)
        ],
    )
    folder.mkdir(parents=True, exist_ok=True)
    if external is not None:
        (folder / external).parent.mkdir(parents=True, exist_ok=True)
    ir.save(model, folder / f"{name}.onnx", external_data=external, size_threshold_bytes=0)
    sidecar.save(folder / f"{name}_hierarchy.json")
    return load(folder / f"{name}.onnx")


@pytest.fixture(scope="session")
def export_by_hand() -> ExportByHand:
    return _export_by_hand
