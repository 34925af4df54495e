"""Recognising a graph: the sidecar of one model must not be read with another."""

import hashlib
from pathlib import Path
from typing import Any


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hex.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def graph_digest(model: Any) -> str:
    """Return the SHA-256 over a graph's structure, as hex.

    It covers operators, attributes, edges and value names (which the sidecar refers to), inputs and outputs with
    their types, and nested graphs; not weights, node names, metadata or documentation. `model` is an `onnx_ir.Model`:
    this package stands without onnx-ir, and reads only attributes of the object.
    """
    lines: list[str] = []
    _graph(model.graph, lines)
    for function in model.functions.values():
        lines.append(repr((function.domain, function.name, function.overload)))
        _graph(function, lines)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _graph(graph: Any, lines: list[str]) -> None:
    lines.append(repr([_typed(value) for value in graph.inputs]))
    for node in graph:
        inputs = ",".join([value.name if value is not None else "" for value in node.inputs])
        outputs = ",".join([value.name or "" for value in node.outputs])
        lines.append(f"{node.domain}|{node.op_type}|{node.overload}|{inputs}|{outputs}")
        attributes = node.attributes
        if attributes:
            for name in sorted(attributes):
                _attribute(attributes[name], lines)
    lines.append(repr([_typed(value) for value in graph.outputs]))


def _typed(value: Any) -> tuple[str, str, str]:
    return (str(value.name), str(value.dtype), str(value.shape))


def _attribute(attribute: Any, lines: list[str]) -> None:
    kind = str(getattr(attribute.type, "name", attribute.type))
    lines.append(f"{attribute.name}:{kind}")
    if attribute.is_ref():
        lines.append(f"@{attribute.ref_attr_name}")
    elif kind == "GRAPH":
        _graph(attribute.value, lines)
    elif kind == "GRAPHS":
        for graph in attribute.value:
            _graph(graph, lines)
    elif kind == "TENSOR":
        lines.append(f"{attribute.value.dtype}{attribute.value.shape}")
    elif kind == "FLOAT":
        # The file holds 32 bits; in memory the exporter's value may have 64.
        lines.append(f"{float(attribute.value):.6e}")
    elif kind == "FLOATS":
        lines.append(",".join(f"{float(value):.6e}" for value in attribute.value))
    else:
        lines.append(str(attribute.value))
