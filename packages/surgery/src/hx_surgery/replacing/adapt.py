"""A part in the operator sets of the model that it is put into, with the functions that it brings."""

from collections.abc import Mapping
from typing import NoReturn

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from hx_graph import all_nodes, bring_into_order, called_functions, ensure_well_formed, nodes_in, without_weights
from hx_projector import function_form
from hx_sidecar_schema import HxError, first_line

Operators = Mapping[ir.OperatorIdentifier, ir.OperatorIdentifier]


def adapted(part: ir.Model, model: ir.Model, file: str) -> ir.Model:
    """Return a part whose operators mean in a model what they mean in the part; the part itself where they do.

    The model gets the domains that it lacks.

    Args:
        part: Not changed, but for the order of its nodes where it has none.
        model: Its imports are changed.
        file: Name of the part, for messages.

    Raises:
        HxError: HX223 if the part is of other opsets and cannot be converted, HX202 if it is no valid model.
    """
    try:
        ensure_well_formed(part)
        bring_into_order(part)
    except ValueError as error:
        message = f"Part {file!r} is no valid ONNX model: {first_line(error).rstrip('.')}."
        raise HxError(message, code="HX202", hint="Give another part.", argument="part") from error
    part = _without_stale_functions(part, model, file)
    used = {node.domain for _, node in all_nodes(part)}
    for domain in sorted(used & part.opset_imports.keys()):
        version = part.opset_imports[domain]
        wanted = model.opset_imports.setdefault(domain, version)
        other = _other_meaning(part.graph, domain, version, wanted)
        if other and domain:
            _refuse(file, domain, version, wanted, f"{other!r} may be another operator there")
        if other:
            part = _converted(part, wanted, file)
    return part


def _other_meaning(graph: ir.Graph | ir.Function, domain: str, version: int, wanted: int) -> str:
    """Return an operator of a graph that is not the same in two versions of a domain; nothing where all are."""
    if version == wanted:
        return ""
    for name in sorted({node.op_type for _, node in nodes_in(graph) if node.domain == domain}):
        try:
            one, two = (_signature(onnx.defs.get_schema(name, number, domain)) for number in (version, wanted))
        except onnx.defs.SchemaError:
            return name
        if one != two:
            return name
    return ""


def _signature(schema: onnx.defs.OpSchema) -> object:
    """Return what tells versions of an operator apart that mean something else; others take more types."""
    attributes = {name: (each.type, str(each.default_value)) for name, each in schema.attributes.items()}
    return attributes, *([(port.name, port.option) for port in ports] for ports in (schema.inputs, schema.outputs))


def _without_stale_functions(part: ir.Model, model: ir.Model, file: str) -> ir.Model:
    """Return a part without functions where one has operators that mean something else in the model; else the part itself.

    ONNX Runtime (1.31) runs functions with the opset of the model, whatever they import.
    """
    for key, function in part.functions.items():
        for domain, version in function.opset_imports.items():
            wanted = model.opset_imports.get(domain, version)
            if other := _other_meaning(function, domain, version, wanted):
                if part.opset_imports.get(domain) != version:
                    _refuse(
                        file, domain, version, wanted, f"{other!r} of its function {key[1]!r} is another operator there"
                    )
                part = part.clone()
                InlinePass()(part)
                return part
    return part


def _converted(part: ir.Model, wanted: int, file: str) -> ir.Model:
    version = part.opset_imports[""]
    if part.functions:
        part = part.clone()
        InlinePass()(part)  # ONNX's converter takes no functions
    weights = {name: value.const_value for name, value in part.graph.initializers.items()}
    bare = without_weights(part)
    bare.ir_version = max(bare.ir_version, 4)
    try:
        proto = onnx.version_converter.convert_version(ir.to_proto(bare), wanted)
        made = ir.from_proto(proto)
    except Exception as error:  # noqa: BLE001 the converter (onnx 1.23) raises RuntimeError and its own kinds
        _refuse(file, "", version, wanted, f"ONNX's converter says: {first_line(error)}")
    for value in list(made.graph.inputs):
        tensor = weights.get(str(value.name))
        if tensor is not None:
            made.graph.inputs.remove(value)
            value.const_value = tensor
            made.graph.register_initializer(value)
    return made


def _refuse(file: str, domain: str, version: int, wanted: int, reason: str) -> NoReturn:
    message = f"Part {file!r} is of opset {version} of {domain or 'ai.onnx'!r}, the model of opset {wanted}: {reason}."
    raise HxError(message, code="HX223", hint=f"Make the part for opset {wanted}.", argument="part")


def merge_functions(part: ir.Model, model: ir.Model) -> Operators:
    """Give a model the functions of a part; return what those are called there that have another name now."""
    names = {key: key for key in part.functions}
    while other := [key for key, name in names.items() if key == name and _clashes(key, part, model, names)]:
        for key in other:
            number = 2
            while (name := (key[0], f"{key[1]}_{number}", key[2])) in model.functions or name in names.values():
                number += 1
            names[key] = name
    for key, name in names.items():
        if name in model.functions:
            continue
        copy = part.functions[key].clone()
        copy.domain, copy.name, copy.overload = name
        for _, node in nodes_in(copy):
            node.domain, node.op_type, node.overload = names.get(node.op_identifier(), node.op_identifier())
        model.functions[name] = copy
        model.opset_imports.setdefault(name[0], part.opset_imports.get(name[0], 1))
    return {key: name for key, name in names.items() if key != name}


def _clashes(key: ir.OperatorIdentifier, part: ir.Model, model: ir.Model, names: Operators) -> bool:
    """Say whether a model has another function under a name: other nodes, or functions that these call are others."""
    known, function = model.functions.get(key), part.functions[key]
    if known is None:
        return False
    called = {node.op_identifier() for _, node in nodes_in(function)}
    return any(names.get(each, each) != each for each in called) or function_form(known) != function_form(function)


def drop_unused_functions(model: ir.Model, before: set[ir.OperatorIdentifier]) -> None:
    """Take functions away that nodes called before and call no more."""
    for key in before - called_functions(model.graph, model.functions):
        model.functions.pop(key, None)
