"""Modules, calls, ports, recovered nodes and weights of an export, as they are in what a tool made of it."""

import base64
from collections.abc import Container, Iterable, Iterator, Mapping

import onnx
import onnx_ir as ir

from hx_graph import can_be_equal, dims_of, example_array, example_record, values_by_name
from hx_projector.attribution.owners import OwnedNodes
from hx_projector.relinking.correspondence import name_inside
from hx_projector.relinking.original import Original, ValueType
from hx_sidecar_schema import Example, Initializer, ModuleContext, Port, RecoveredNode, Sidecar, TensorInfo, lean


def context_of(
    transformed: ir.Model, original: Original, unchanged: Mapping[str, str], owned: OwnedNodes, sidecar: Sidecar
) -> ModuleContext:
    """Return the modules and calls of the original, with the ports that they have in the transformed graph.

    A port keeps its value where that is unchanged (such values are given with their names in the original); else it is
    lost. Calls that were never called are left out, implicit inputs too: they are found again by cutting.
    """
    where = {value: name for name, value in unchanged.items()}
    new, old = values_by_name(transformed.graph), original.types
    weights = transformed.graph.initializers
    given = {value.name: value for value in transformed.graph.inputs if not value.is_initializer()}
    known = ((value, old.get(unchanged.get(str(name), ""))) for name, value in given.items())
    resized = any(was is not None and _is_resized(now, was) for now, was in known)
    recovered = [_renamed(row, where) for row in sidecar.recovered]
    pairs = zip(recovered, sidecar.recovered, strict=True)  # those that were recorded have the old sizes in them
    usable = [not resized and _is_usable(now, was, new, old) for now, was in pairs]
    recomputed = {out for row, ok in zip(sidecar.recovered, usable, strict=True) for out in row.outputs if ok and out}
    led_from = {name for row, ok in zip(sidecar.recovered, usable, strict=True) for name in row.inputs if ok} - {*old}
    begun_with = recomputed | led_from  # what was gone when it was exported stays what a call begins with

    def with_value(port: Port, kept: Container[str]) -> Port:
        if port.value is not None and (again := where.get(port.value, port.value)) in kept:
            return port.model_copy(update={"value": again})
        if port.value is None:
            field, name = "initializer", port.initializer
            now = weights.get(name) if name is not None else None
        else:
            field, name = "value", port.value
            now = new.get(where[name]) if name in where else None
        if name is None:
            return port
        before = old.get(name)
        if now is None or (before is not None and not _shapes_fit(now, before, resized=resized and field == "value")):
            return port.model_copy(update={field: None})
        dtype = now.dtype.name if now.dtype else port.dtype
        shape = dims_of(now.shape) if resized and now.shape is not None and field == "value" else port.shape
        if (name, port.dtype, port.shape) == (now.name, dtype, shape):  # most, of a large graph
            return port
        return port.model_copy(update={field: now.name, "dtype": dtype, "shape": shape})

    covers = {row.output: row.covers for row in owned.values()}
    return ModuleContext(
        generator=sidecar.generator,
        modules=sidecar.modules,
        calls=[
            lean(
                call.model_copy(
                    update={
                        "inputs": [with_value(port, begun_with) for port in call.inputs if not port.implicit],
                        "outputs": [with_value(port, recomputed) for port in call.outputs],
                        "recovered": [row for row in call.recovered if usable[row]],
                    }
                )
            )
            for call in sidecar.calls
            if call.status != "not_called"
        ],
        origins={output: rows for output, rows in covers.items() if rows},  # of other nodes the owners say it
        recovered=recovered,
        sizes={now: size for name, size in sidecar.sizes.items() if (now := where.get(name, name)) in new},
        initializers=list(_initializers(weights, sidecar)),
        stored_names=sidecar.stored_names,
        examples={
            str(now.name): example
            for info in sidecar.model.inputs
            if info.example is not None and (now := given.get(where.get(info.name, info.name))) is not None
            if (example := _fitted(info, info.example, now)) is not None
        },
    )


def _fitted(info: TensorInfo, example: Example, value: ir.Value) -> Example | None:
    """Return the example of an input in the type that it has now, numbers repeated where sizes were fixed.

    None where it has another rank, and not only fixed sizes.
    """
    if value.dtype is None:
        return example
    shape = example.shape
    if value.shape is not None and len(value.shape) == len(shape):
        dims = zip(value.shape, shape, strict=True)
        shape = [dim if isinstance(dim, int) else size for dim, size in dims]
    elif value.shape is not None:
        shape = [dim for dim in value.shape if isinstance(dim, int)]
        if len(shape) < len(value.shape):
            return None
    if example.data is None or (value.dtype.name == info.dtype and shape == example.shape):
        return example.model_copy(update={"shape": shape})
    return example_record(example_array(info).astype(value.dtype.numpy()), shape)


def _shapes_fit(now: ir.Value, before: ValueType, *, resized: bool) -> bool:
    """Say whether a value is in its old shape: it goes by its old name in another one where a Reshape was moved past it.

    In a model whose inputs were given other sizes, values have others too.
    """
    unknown = now.shape is None or before.shape is None
    return unknown or can_be_equal(dims_of(now.shape), dims_of(before.shape)) or (resized and _is_resized(now, before))


def _is_resized(now: ir.Value, before: ValueType) -> bool:
    """Say whether a value has other sizes of the same rank, and not the same in another order."""
    one, two = dims_of(now.shape), dims_of(before.shape)
    return len(one) == len(two) and not can_be_equal(one, two) and sorted(map(str, one)) != sorted(map(str, two))


def _renamed(row: RecoveredNode, where: Mapping[str, str]) -> RecoveredNode:
    inputs, outputs = ([where.get(name, name) for name in names] for names in (row.inputs, row.outputs))
    if (inputs, outputs) == (row.inputs, row.outputs):
        return row
    proto = onnx.NodeProto.FromString(base64.b64decode(row.proto))
    proto.input[:], proto.output[:] = inputs, outputs
    text = base64.b64encode(proto.SerializeToString(deterministic=True)).decode()
    return row.model_copy(update={"inputs": inputs, "outputs": outputs, "proto": text})


def _is_usable(
    row: RecoveredNode, before: RecoveredNode, new: Mapping[str, ir.Value], old: Mapping[str, ValueType]
) -> bool:
    """Say whether a recovered node still computes in the types that it was recorded with."""
    inputs = ((new.get(name), old.get(was)) for name, was in zip(row.inputs, before.inputs, strict=True))
    if any(before is not None and (now is None or now.dtype != before.dtype) for now, before in inputs):
        return False
    outputs = ((new.get(name), dtype) for name, dtype in zip(row.outputs, row.dtypes, strict=True))
    return all(now is None or now.dtype is None or now.dtype.name == dtype for now, dtype in outputs)


def _initializers(weights: Iterable[str], sidecar: Sidecar) -> Iterator[Initializer]:
    """Yield the weights; one whose name has a weight of the original's in it is derived from that one's parameter."""
    known = {row.name: row for row in sidecar.initializers}
    for name in weights:
        if name in known:
            yield known[name]
        elif (base := name_inside(name, known)) is not None:
            yield Initializer(
                name=name, parameter=known[base].parameter, transform="derived", unmade=known[base].unmade
            )
        else:
            yield Initializer(name=name)
