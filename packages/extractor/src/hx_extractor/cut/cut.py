"""Cutting one call out as a model that takes that module's own `forward()` arguments."""

from collections.abc import Container, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from hx_extractor._extraction import Extraction, Parent
from hx_extractor.cut.builder import GraphBuilder
from hx_extractor.cut.index import GraphIndex
from hx_extractor.cut.sidecar import cut_sidecar
from hx_extractor.cut.source import Source
from hx_extractor.cut.transformed import HINT, cast_inputs, check_inputs, transformed_ports
from hx_graph import Size, is_size_query, shape_from
from hx_sidecar_schema import HxError, Port, UnavailableValue


def extract(parent: Parent, index: GraphIndex, row: int) -> Extraction:
    """Cut the call at `row` out of the exported model; see `Hierarchy.extract`."""
    sidecar = index.sidecar
    call = sidecar.calls[row]
    tag = sidecar.tag(call)
    if call.status != "extractable":
        hint = "Extract the module around it; `hx tree` shows what is extractable."
        raise HxError(f"Call {tag!r} is {call.status}, not extractable: {call.reason}", code="HX205", hint=hint)
    inputs = [port for port in call.inputs if not port.unused]
    outputs = [port for port in call.outputs if not port.unused]
    recovered = index.recovered(call.recovered)
    casts: dict[str, tuple[str, ir.DataType]] = {}
    if index.transformed:
        inputs, outputs = (transformed_ports(index, ports, recovered) for ports in (inputs, outputs))
        casts = cast_inputs(index, inputs)
    end = sidecar.subtree_end[row]
    cut = index.graph.cut(
        row,
        end,
        inputs,
        [port.carrier for port in outputs],
        recovered={name: source.reads for name, source in recovered.items()},
        complete=True,
        also=casts,
    )
    missing = [name for name in cut.implicit if name not in index.carried]
    if missing and index.transformed:
        message = f"It also needs the model's input {missing[0]!r}, which is none of its own."
        raise HxError(message, code="HX212", hint=HINT)
    if missing:
        message = f"Call {tag!r} also needs the model's input {missing[0]!r}, which is none of its own."
        raise UnavailableValue(message, hint="Export the model again: the sidecar says less than the graph.")
    builder = GraphBuilder(index, recovered, taken={port.name for port in (*inputs, *outputs)})
    for port in inputs:
        builder.add_input(port.name, port.carrier, _type(index, port), _shape(index, port))
    for name, (carrier, dtype) in casts.items():
        cast = ir.node("Cast", [builder.value(carrier)], {"to": dtype.value})
        builder.substitute(name, builder.append(cast, name))
    _read_sizes(builder, cut.sizes, sidecar.sizes)
    for port in outputs:
        builder.add_output(port.carrier, port.name, _type(index, port), _shape(index, port))
    if index.transformed:
        check_inputs(builder, inputs)
    model = builder.model()
    owners = index.graph.owners
    carriers = [port.carrier for port in inputs]
    feeding = [index.source(name) for name in carriers if name in index.graph.values]
    ends = {port.carrier for port in outputs}
    foreign = [source.key for source in builder.sources if not row <= owners.get(source.key, -1) < end]
    return Extraction(
        module=sidecar.module_of(call),
        call=call,
        tag=tag,
        model=model,
        inputs=inputs,
        outputs=outputs,
        operations=[source.key for source in builder.sources],
        external_inputs=carriers,
        internal_tensors=[name for source in builder.sources for name in source.outputs if name and name not in ends],
        boundary_operations=list(dict.fromkeys([*foreign, *(source.key for source in feeding if source is not None)])),
        recomputed=_recomputed(index, row, builder.sources, carriers),
        implicit_inputs=[port.name for port in inputs if port.implicit],
        origins=builder.origins(),
        sidecar=cut_sidecar(index, row, builder, model),
        parent=parent,
    )


def up_to(index: GraphIndex, names: Sequence[str]) -> ir.Model:
    """Return the part of the model that computes some values, recovered ones included, as its outputs."""
    lost = any(name not in index.graph.values for name in names)
    builder = GraphBuilder(index, index.lost if lost else {})
    for value in index.model.graph.inputs:
        if not value.is_initializer():  # a weight that is listed among the inputs has its value
            builder.add_input(str(value.name), str(value.name), value.type, value.shape)
    for number, name in enumerate(names):
        builder.add_output(name, f"hx_output_{number}", None, None)
    return builder.model()


def _read_sizes(builder: GraphBuilder, sizes: Mapping[str, Sequence[Size]], scalars: Container[str]) -> None:
    """Read sizes from the inputs, in place of the values that hold them: `scalars` are a size, others a list of sizes."""
    for name, dims in sizes.items():
        parts = [_add_size(builder, _size(builder, dim), name, number, (1,)) for number, dim in enumerate(dims)]
        value = parts[0]
        if name in scalars:
            value = _add_size(builder, ir.node("Squeeze", parts), name, 1, ())
        elif len(parts) != 1:
            value = _add_size(builder, ir.node("Concat", parts, {"axis": 0}), name, len(parts), (len(parts),))
        builder.substitute(name, value)


def _size(builder: GraphBuilder, dim: Size) -> ir.Node:
    if isinstance(dim, int):
        return ir.node("Constant", [], {"value": ir.Tensor(np.array([dim], dtype=np.int64))})
    carrier, axis = dim
    builder.build(carrier)
    return ir.node("Shape", [builder.value(carrier)], {"start": axis, "end": axis + 1})


def _add_size(builder: GraphBuilder, node: ir.Node, name: str, number: int, shape: tuple[int, ...]) -> ir.Value:
    value = builder.append(node, f"{name}.size{number}")
    value.type, value.shape = ir.TensorType(ir.DataType.INT64), ir.Shape(shape)
    return value


def _recomputed(index: GraphIndex, row: int, sources: Sequence[Source], carriers: Sequence[str]) -> list[str]:
    computed = set(carriers)
    foreign: dict[str, str] = {}
    read_inside: set[str] = set()
    for source in sources:
        owner = index.graph.owners.get(source.key)  # a node that a transformation made has none
        is_foreign = owner is not None and not row <= owner < index.sidecar.subtree_end[row]
        if not is_foreign:
            read_inside.update(source.reads)
        if not is_size_query(source.node) and not computed.isdisjoint(source.reads):
            outputs = [name for name in source.outputs if name]
            computed.update(outputs)
            if is_foreign:
                foreign.update(dict.fromkeys(outputs, source.key))
    return list(dict.fromkeys(key for name, key in foreign.items() if name in read_inside))


def _shape(index: GraphIndex, port: Port) -> ir.Shape | None:
    """Return the shape of a port; None for an unknown rank, which a record does not tell from a scalar's."""
    value = index.typed.get(port.carrier)
    return shape_from(port.shape) if port.shape or value is None or value.shape is not None else None


def _type(index: GraphIndex, port: Port) -> ir.TypeProtocol | None:
    """Return the type of a port: of sequences and optionals, whose elements' type the record has, that of the graph."""
    value = index.typed.get(port.carrier)
    if value is not None and value.type is not None and not isinstance(value.type, ir.TensorType):
        return value.type
    return None if port.dtype == "UNDEFINED" else ir.TensorType(ir.DataType[port.dtype])
