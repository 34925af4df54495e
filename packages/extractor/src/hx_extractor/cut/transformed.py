"""Calls of a model that a tool made of the export: the types that their ports have now, and whether they are still there."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from hx_extractor.cut.builder import GraphBuilder
from hx_extractor.cut.index import GraphIndex
from hx_extractor.cut.source import Source
from hx_sidecar_schema import HxError, Port

HINT = "Look at the calls around it; the transformation left no such part in the graph."


def transformed_ports(index: GraphIndex, ports: Sequence[Port], recovered: Mapping[str, Source]) -> list[Port]:
    """Return a call's ports with the element types that the transformed graph has; HX212 if the value of one is gone."""
    result: list[Port] = []
    around = {name for source in recovered.values() for name in (*source.reads, *source.outputs)}
    for port in ports:
        value = index.graph.values.get(port.carrier)
        if value is None and (port.value or port.initializer) and port.carrier not in around:
            message = f"Value {port.carrier!r} of port {port.name!r} is not in the transformed model."
            raise HxError(message, code="HX212", hint=HINT)
        dtype = value.dtype if value is not None else None
        result.append(port.model_copy(update={"dtype": dtype.name}) if dtype is not None else port)
    return result


def cast_inputs(index: GraphIndex, inputs: Sequence[Port]) -> dict[str, tuple[str, ir.DataType]]:
    """Return values that inputs of a call were cast from and that others read, with the input and their type.

    A converter that keeps an output's type puts a Cast before it, and the modules behind read what is before the
    Cast: `y` of the export is then a value that the export did not have, and `y` its copy.
    """
    found: dict[str, tuple[str, ir.DataType]] = {}
    for port in inputs:
        value = index.graph.values.get(port.carrier)
        node = value.producer() if value is not None else None
        before = node.inputs[0] if node is not None and node.op_type == "Cast" else None
        if before is None or not before.name or before.dtype is None or len(before.uses()) < 2:
            continue
        if before.name not in index.graph.owners and before.producer() is not None:
            found[before.name] = (port.carrier, before.dtype)
    return found


def check_inputs(builder: GraphBuilder, inputs: Sequence[Port]) -> None:
    """Refuse a cut that does not begin where the call begins: its numbers would be those of other modules too."""
    for port in inputs:
        value = builder.value(port.carrier)
        if not value.uses() and not value.is_graph_output():
            message = f"Input port {port.name!r} is read no more: the transformation merged what is around it."
            raise HxError(message, code="HX212", hint=HINT)
