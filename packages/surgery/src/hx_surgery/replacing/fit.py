"""Whether a part fits a call: its inputs and outputs are the call's ports, or weights of the call, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from hx_extractor import Extraction
from hx_graph import UNKNOWN_DIMS, dims_of, dtype_name
from hx_projector import operands, structural_digest, walk_order
from hx_sidecar_schema import HxError, Port, Sidecar


@dataclass
class Fit:
    """What the inputs and outputs of a part are in the call."""

    inputs: dict[str, Port] = field(default_factory=dict)
    """By name of the part's input."""
    weights: dict[str, str] = field(default_factory=dict)
    """Inputs that are weights of the call, with the names of these in its extraction."""
    sizes: dict[str, int | str] = field(default_factory=dict)
    """What the part's symbols are in the model."""
    misfits: list[str] = field(default_factory=list)
    """What does not fit, in words."""


def fit(part: ir.Model, call: Extraction, like: Extraction | None, parameters: Mapping[str, str]) -> Fit:
    """Match the inputs and outputs of a part with a call.

    Args:
        part: Its inputs with a value are weights of its own.
        call: Cut out of the model.
        like: Another call, whose weights the part's inputs may be named after: those of a call of the same form are its
            counterparts.
        parameters: What is known of the part's inputs that are weights: the parameter, by its name in the module.

    Raises:
        HxError: HX220 with all that does not fit.
    """
    found = Fit()
    ports = {port.name: port for port in call.call.inputs} | {port.name: port for port in call.inputs}
    weights = {**_weights_by_name(call), **(_counterparts(like, call) if like else {})}
    for value in part.graph.inputs:
        name = str(value.name)
        if value.is_initializer():
            continue
        if (port := ports.get(name)) is not None:
            found.inputs[name] = port
            _compare(found, "input", value, port)
        elif (weight := weights.get(name) or weights.get(parameters.get(name, ""))) is not None:
            found.weights[name] = weight
            _compare_weight(found, value, call.model.graph.initializers[weight])
        else:
            found.misfits.append(
                f"input {name!r} is neither a port of the call, which has {_names(ports)}, nor a weight"
            )
    outputs = {str(value.name): value for value in part.graph.outputs}
    for port in call.outputs:
        if (value := outputs.get(port.name)) is None:
            found.misfits.append(f"output {port.name!r} is missing among {_names(outputs)}")
        else:
            _compare(found, "output", value, port)
    if found.misfits:
        raise HxError(
            f"The part does not fit call {call.tag!r}: {'; '.join(found.misfits)}.",
            code="HX220",
            hint="Give it the call's own ports; `hx extract` writes a part that has them.",
            argument="part",
        )
    return found


def with_constants(part: ir.Model, call: Extraction) -> ir.Model:
    """Return a part whose inputs that are constants of a call, and of no parameter, have their values."""
    rows = {row.name for row in call.sidecar.initializers if row.parameter is None}
    weights = call.model.graph.initializers
    names = {port.name for port in call.call.inputs}
    wanted = [v.name for v in part.graph.inputs if v.name in rows and v.name in weights and v.name not in names]
    if not wanted:
        return part
    part = part.clone()
    for value in [value for value in part.graph.inputs if value.name in wanted]:
        value.const_value = weights[str(value.name)].const_value
        if value.const_value is not None and not value.is_initializer():
            part.graph.inputs.remove(value)
            part.graph.register_initializer(value)
    return part


def parameters_of(part: Sidecar | None) -> dict[str, str]:
    """Return the parameters of a part's weights by their names in the module that it was cut from."""
    if part is None or part.cut_from is None:
        return {}
    module = f"{part.cut_from.fqn}." if part.cut_from.fqn else ""
    return {row.name: row.parameter.removeprefix(module) for row in part.initializers if row.parameter}


def _names(names: Mapping[str, object]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _weights_by_name(call: Extraction) -> dict[str, str]:
    """Return the weights of a call by their names, and by those of their parameters, whole and inside the module."""
    initializers = call.model.graph.initializers
    rows = {str(row.parameter): row.name for row in call.sidecar.initializers if row.name in initializers}
    module = f"{call.module.fqn}." if call.module.fqn else ""
    inside = {name.removeprefix(module): weight for name, weight in rows.items()}
    return inside | rows | {name: name for name in initializers}


def _counterparts(one: Extraction, other: Extraction) -> dict[str, str]:
    """Return for the weights of one call those of another, where both have one form; nothing where they do not."""
    if structural_digest(one.model) != structural_digest(other.model):
        return {}
    return dict(zip(_in_order(one.model.graph), _in_order(other.model.graph), strict=True))


def _in_order(graph: ir.Graph) -> list[str]:
    """Return the names of weights as a walk that depends on topology alone finds them."""
    read = (value for node in walk_order(graph) for value in operands(node) if value is not None)
    weights = {*graph.initializers.values()}
    return list(dict.fromkeys(str(value.name) for value in read if value in weights))


def _compare(found: Fit, kind: str, value: ir.Value, port: Port) -> None:
    where = f"{kind} {port.name!r}"
    if value.type is not None and not isinstance(value.type, ir.TensorType):
        return  # of a sequence the record tells the element type alone
    if value.dtype is not None and port.dtype != "UNDEFINED" and dtype_name(value) != port.dtype:
        found.misfits.append(f"{where} is {dtype_name(value)}, not {port.dtype}")
    if value.shape is None:
        return
    dims = dims_of(value.shape)
    if len(dims) != len(port.shape):
        found.misfits.append(f"{where} has {len(dims)} dimensions, {dims}, not {len(port.shape)}, {port.shape}")
        return
    for mine, theirs in zip(dims, port.shape, strict=True):
        if mine in UNKNOWN_DIMS or theirs in UNKNOWN_DIMS:
            continue
        said = mine if isinstance(mine, int) else found.sizes.setdefault(mine, theirs)
        if said != theirs:
            means = "" if said is mine else f", and {mine!r} is {said!r} elsewhere"
            found.misfits.append(f"{where} is {dims}, not {port.shape}{means}")
            return


def _compare_weight(found: Fit, value: ir.Value, weight: ir.Value) -> None:
    mine, theirs = (f"{dtype_name(each)}{dims_of(each.shape)}" for each in (value, weight))
    if value.dtype is not None and value.shape is not None and mine != theirs:
        found.misfits.append(f"input {value.name!r} is {mine}, the weight of the call {theirs}")
