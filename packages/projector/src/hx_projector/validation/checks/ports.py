"""Whether what ports, weights and recovered nodes name is in the model, with the recorded types."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Sequence

import onnx_ir as ir

from hx_graph import dims_of
from hx_projector.validation.findings import Finding
from hx_projector.validation.subject import Subject, named
from hx_sidecar_schema import Port, RecoveredNode

Type = tuple[str | None, Sequence[int | str] | None]
"""Dtype and shape, each None where the model does not say."""


def ports(subject: Subject) -> list[Finding]:
    """Ports have names of their own, and carriers with their dtype and shape (V30 to V33)."""
    weights = {*subject.model.graph.initializers, *(str(value.name) for value in subject.model.graph.inputs)}
    types: dict[str, list[Type]] = {
        name: [_type(value) for value in found] for name, found in subject.values.items()
    }
    made = _types(subject.sidecar.recovered)
    findings: list[Finding] = []
    for row, call in enumerate(subject.sidecar.calls):
        name = subject.call_name(row)
        for side in (call.inputs, call.outputs):
            findings += _repeated(name, side)
        recovered = _types(subject.sidecar.recovered[number] for number in call.recovered)
        read = {name for number in call.recovered for name in subject.sidecar.recovered[number].inputs}
        for port in (*call.inputs, *call.outputs):
            carrier = port.value or port.initializer
            if carrier is None:
                continue
            if port.value and port.initializer:
                findings.append(
                    Finding.of(
                        "V30", name, f"Port {port.name!r} is carried by a value and an initializer at once."
                    )
                )
                continue
            known = recovered.get(carrier) or types.get(carrier) or made.get(carrier)
            if known is None and (port.unused or carrier in read):
                continue  # nothing needs it; or the recovered nodes take the port's place in the graph
            if known is None or (port.initializer and carrier not in weights):
                what = "initializer" if port.initializer else "value"
                findings.append(
                    Finding.of(
                        "V30", name, f"Port {port.name!r} is {what} {carrier!r}, which is not in the model."
                    )
                )
                continue
            findings += _mistyped(name, port, carrier, known)
    return findings


def _repeated(name: str, side: Sequence[Port]) -> list[Finding]:
    counts = Counter(port.name for port in side)
    return [
        Finding.of("V33", name, f"{amount} of its ports are called {port!r}.")
        for port, amount in counts.items()
        if amount > 1
    ]


def _mistyped(name: str, port: Port, carrier: str, known: Sequence[Type]) -> list[Finding]:
    """A name that several bodies use is right where it is right in one of them."""
    dtypes = [dtype for dtype, _ in known]
    if None not in dtypes and port.dtype not in dtypes and "UNDEFINED" not in (port.dtype, *dtypes):
        there = named(sorted({str(dtype) for dtype in dtypes}))
        return [
            Finding.of(
                "V31", name, f"Port {port.name!r} is {port.dtype}; {carrier!r} in the model is {there}."
            )
        ]
    shapes = [shape for _, shape in known]
    if any(shape is None or _fits(port.shape, shape) for shape in shapes):
        return []
    return [
        Finding.of(
            "V32",
            name,
            f"Port {port.name!r} is {_text(port.shape)}; {carrier!r} in the model is {_text(shape)}.",
        )
        for shape in shapes[:1]
        if shape is not None
    ]


def _fits(one: Sequence[int | str], other: Sequence[int | str]) -> bool:
    """Say whether two shapes may be one: a symbol may be any size, the sizes themselves must be equal."""
    return len(one) == len(other) and all(
        isinstance(a, str) or isinstance(b, str) or a == b for a, b in zip(one, other, strict=True)
    )


def _type(value: ir.Value) -> Type:
    tensor = value.const_value
    dtype = value.dtype or (tensor.dtype if tensor is not None else None)
    shape = value.shape if value.shape is not None else tensor.shape if tensor is not None else None
    return (dtype.name if dtype is not None else None, None if shape is None else dims_of(shape))


def _text(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _types(recovered: Iterable[RecoveredNode]) -> dict[str, list[Type]]:
    types: dict[str, list[Type]] = {}
    for node in recovered:
        for output, dtype, shape in zip(node.outputs, node.dtypes, node.shapes, strict=False):
            types.setdefault(output, []).append((dtype, shape))
    return types


def recovered_nodes(subject: Subject) -> list[Finding]:
    """Recovered nodes can be read, make what they say, and read what there is (V34)."""
    rows = subject.sidecar.recovered
    known = {*subject.values, *(output for row in rows for output in row.outputs), ""}
    ports: dict[int, set[str]] = {}
    """Carriers of the inputs of the calls that a row is recovered for: they may be in no graph."""
    for call in subject.sidecar.calls:
        for number in call.recovered:
            ports.setdefault(number, set()).update(port.carrier for port in call.inputs)
    findings: list[Finding] = []
    for number, row in enumerate(rows):
        problem = _recovered(row, known, ports.get(number))
        if problem:
            findings.append(Finding.of("V34", f"recovered {number}", problem))
    return findings


def _recovered(row: RecoveredNode, known: set[str], ports: set[str] | None) -> str:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.NodeProto.FromString(base64.b64decode(row.proto, validate=True))
    except (ValueError, DecodeError) as error:
        return f"Its `proto` cannot be read: {error}."
    if not len(row.outputs) == len(row.dtypes) == len(row.shapes):
        return f"It has {len(row.outputs)} outputs, {len(row.dtypes)} of their dtypes and {len(row.shapes)} shapes."
    for side, said, made in (("inputs", row.inputs, proto.input), ("outputs", row.outputs, proto.output)):
        if list(made) != said:
            return f"Its {side} are {named(said)}, those of its `proto` {named(made)}."
    if ports is None:
        return ""  # no call needs it: what it reads may be gone too
    unknown = [name for name in row.inputs if name not in known and name not in ports]
    return f"It reads {named(unknown)}, which nothing makes." if unknown else ""


def initializers(subject: Subject) -> list[Finding]:
    """Weights of the model and rows are one to one, and parameters belong to a module (V35, V36, V37)."""
    graph = subject.model.graph
    given = {
        str(value.name) for value in graph.inputs
    }  # what was cut out with --weights none takes weights as inputs
    rows = Counter(row.name for row in subject.sidecar.initializers)
    findings = [
        Finding.of("V35", name, "The model has no such weight." if amount == 1 else f"It has {amount} rows.")
        for name, amount in rows.items()
        if amount > 1 or (name not in graph.initializers and name not in given)
    ]
    findings += [
        Finding.of("V36", name, "No row says which parameter it is.")
        for name in graph.initializers
        if name not in rows
    ]
    if not subject.is_part:  # a part also holds weights of modules around it
        for row in subject.sidecar.initializers:
            module = (row.parameter or "").rpartition(".")[0]
            if module not in subject.module_rows:
                findings.append(
                    Finding.of(
                        "V37",
                        row.name,
                        f"It is the parameter {row.parameter!r}; there is no module {module!r}.",
                    )
                )
    return findings
