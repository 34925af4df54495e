"""A model that a tool made of an export: quantised, converted to another precision, optimised.

Such tools drop the export's metadata and change the graph, but the values between modules keep their names. So the
export's sidecar still says where every call begins and ends; what lies between is the transformed graph's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from hx_extractor.cut.source import Source
from hx_sidecar_schema import HxError, Port, Sidecar

if TYPE_CHECKING:
    from hx_extractor.cut.builder import Rebuild
    from hx_extractor.cut.index import Parent

HINT = "Look at the calls around it; the transformation left no such part in the graph."


def check_descent(model: ir.Model, sidecar: Sidecar, path: str) -> None:
    """Refuse a model that was not made of the sidecar's.

    Raises:
        HxError: HX211 if inputs or outputs have other names, or no value between modules has kept its name.
    """
    found = [[str(v.name) for v in ends] for ends in (model.graph.inputs, model.graph.outputs)]
    known = [[info.name for info in ends] for ends in (sidecar.model.inputs, sidecar.model.outputs)]
    reason = ""
    if found != known:
        reason = f"it has the inputs and outputs {found}, not {known}"
    else:
        ends = {name for names in known for name in names}
        ports = {p.value for call in sidecar.calls for p in (*call.inputs, *call.outputs) if p.value} - ends
        made = {out.name for node in model.graph for out in node.outputs}
        if ports and not ports & made:
            reason = "no value between its modules has the same name"
    if reason:
        raise HxError(
            f"Model {path!r} was not made of {sidecar.model.file!r}: {reason}.",
            code="HX211",
            hint="Name the export that the model was made of; an export itself is opened without one.",
            argument="original",
        )


def in_exported_types(
    source: Source, values: Mapping[str, ir.Value], exported: Mapping[str, ir.DataType]
) -> list[Source]:
    """Return a recovered node, with casts around it where the graph is in another precision now.

    The node is kept as it was exported, constants included; so it computes in the export's types.

    Args:
        source: The recovered node.
        values: Of the transformed graph.
        exported: Types of the same values in the export; empty where nothing was transformed.
    """
    if not exported:
        return [source]
    around: list[Source] = []
    node = source.node
    for index, read in enumerate(node.inputs):
        now = values.get(read.name) if read is not None and read.name else None
        was = exported.get(now.name) if now is not None and now.name else None
        if now is not None and was is not None and now.dtype not in (None, was):
            cast = _cast(str(now.name), f"{now.name}.exported", was)
            around.append(cast)
            node.replace_input_with(index, ir.Value(name=cast.outputs[0]))
    for out in node.outputs:
        now = values.get(out.name) if out.name else None
        if now is not None and now.dtype is not None and out.dtype not in (None, now.dtype):
            out.name = f"{now.name}.recovered"
            around.append(_cast(out.name, str(now.name), now.dtype))
    reads = tuple(value.name for value in node.inputs if value is not None and value.name)
    return [*around, Source(node, reads, tuple(out.name or "" for out in node.outputs))]


def _cast(read: str, made: str, dtype: ir.DataType) -> Source:
    out = ir.Value(name=made, type=ir.TensorType(dtype))
    node = ir.node("Cast", [ir.Value(name=read)], {"to": dtype.value}, outputs=[out])
    return Source(node, (read,), (made,))


def transformed_ports(parent: Parent, ports: Sequence[Port], recovered: Mapping[str, Source]) -> list[Port]:
    """Return a call's ports with the element types that the transformed graph has.

    Raises:
        HxError: HX212 if the value of one is gone.
    """
    result: list[Port] = []
    around = {name for source in recovered.values() for name in (*source.reads, *source.outputs)}
    for port in ports:
        value = parent.values.get(port.carrier)
        if value is None and (port.value or port.initializer) and port.carrier not in around:
            raise HxError(
                f"Value {port.carrier!r} of port {port.name!r} is not in the transformed model.",
                code="HX212",
                hint=HINT,
            )
        dtype = value.dtype if value is not None else None
        result.append(port.model_copy(update={"dtype": dtype.name}) if dtype is not None else port)
    return result


def look_through_casts(parent: Parent, rebuild: Rebuild, inputs: Sequence[Port]) -> None:
    """Let an input also stand for the value that it was cast from, where others read that one.

    A converter that keeps an output's type puts a Cast before it, and the modules behind read what is before the
    Cast: `y` of the export is then a value that the export did not have, and `y` its copy.
    """
    for port in inputs:
        value = parent.values.get(port.carrier)
        node = value.producer() if value is not None else None
        before = node.inputs[0] if node is not None and node.op_type == "Cast" else None
        if before is None or not before.name or before.dtype is None or len(before.uses()) < 2:
            continue
        if before.name not in parent.owner and before.producer() is not None:
            cast = ir.node("Cast", [rebuild.value(port.carrier)], {"to": before.dtype.value})
            rebuild.substitute(before.name, rebuild.append(cast, before.name))


def check_cut(rebuild: Rebuild, inputs: Sequence[Port]) -> None:
    """Refuse a cut that does not begin where the call begins: its numbers would be those of other modules too.

    Raises:
        HxError: HX212 if an input is read no more.
    """
    for port in inputs:
        value = rebuild.value(port.carrier)
        if not value.uses() and not value.is_graph_output():
            raise HxError(
                f"Input port {port.name!r} is read no more: the transformation merged what is around it.",
                code="HX212",
                hint=HINT,
            )
