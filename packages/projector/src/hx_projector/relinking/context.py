"""Modules, calls, ports, recovered nodes and weights of an export, as they are in what a tool made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx_ir as ir

from hx_graph import can_be_equal, example_array, example_record, values_by_name
from hx_projector.attribution.owners import OwnedNode
from hx_projector.relinking.region import name_inside
from hx_sidecar_schema import Example, Initializer, ModuleCall, ModuleContext, Port, RecoveredNode, Sidecar, TensorInfo


def context_of(
    transformed: ir.Model,
    original: ir.Model,
    unchanged: Mapping[str, str],
    owned: Sequence[OwnedNode],
    sidecar: Sidecar,
) -> ModuleContext:
    """Return the modules and calls of the original, with the ports that they have in the transformed graph.

    A port keeps its value where that is unchanged; else it is lost. Calls that were never called are left out, implicit
    inputs too: they are found again by cutting.

    Args:
        transformed: The model.
        original: What it was made of.
        unchanged: Values that are the original's as they are, with their names there.
        owned: The nodes of the transformed model.
        sidecar: Of the original.
    """
    where = {value: name for name, value in unchanged.items()}
    new, old = values_by_name(transformed.graph), values_by_name(original.graph)
    weights = transformed.graph.initializers
    usable = [_is_usable(row, new, old) for row in sidecar.recovered]
    recomputed = {out for row, ok in zip(sidecar.recovered, usable, strict=True) for out in row.outputs if ok and out}

    def with_value(port: Port) -> Port:
        if port.value is None or port.value in recomputed:
            field, name = "initializer", port.initializer
            now = weights.get(name) if name is not None else None
        else:
            field, name = "value", port.value
            now = new.get(where[name]) if name in where else None
        if name is None:
            return port
        if now is None or _reshaped(now, old.get(name)):
            return port.model_copy(update={field: None})
        return port.model_copy(
            update={field: now.name, "dtype": now.dtype.name if now.dtype is not None else port.dtype}
        )

    given = {value.name: value for value in transformed.graph.inputs if not value.is_initializer()}
    calls: list[ModuleCall] = []
    for call in sidecar.calls:
        if call.status == "not_called":
            continue
        inputs = [with_value(port) for port in call.inputs if not port.implicit]
        outputs = [with_value(port) for port in call.outputs]
        kept = [row for row in call.recovered if usable[row]]
        calls.append(call.model_copy(update={"inputs": inputs, "outputs": outputs, "recovered": kept}))
    return ModuleContext(
        generator=sidecar.generator,
        modules=sidecar.modules,
        calls=calls,
        origins={row.output: list(row.spanned_calls) or [row.owner] for row in owned},
        recovered=sidecar.recovered,
        sizes={name: size for name, size in sidecar.sizes.items() if name in new},
        initializers=list(_initializers(weights, sidecar)),
        examples={
            info.name: _fitted(info, info.example, given[info.name])
            for info in sidecar.model.inputs
            if info.example is not None and info.name in given
        },
    )


def _fitted(info: TensorInfo, example: Example, value: ir.Value) -> Example:
    """Return the example of an input in the type that it has now, numbers repeated where sizes were fixed."""
    if value.dtype is None:
        return example
    shape = example.shape
    if value.shape is not None and len(value.shape) == len(shape):
        dims = zip(value.shape, shape, strict=True)
        shape = [dim if isinstance(dim, int) else size for dim, size in dims]
    if example.data is None or (value.dtype.name == info.dtype and shape == example.shape):
        return example.model_copy(update={"shape": shape})
    return example_record(example_array(info).astype(value.dtype.numpy()), shape)


def _reshaped(now: ir.Value, before: ir.Value | None) -> bool:
    """Say whether a value goes by its old name in another shape, as where Reshape nodes were moved past it."""
    if before is None or now.shape is None or before.shape is None:
        return False
    return not can_be_equal(now.shape, before.shape)


def _is_usable(row: RecoveredNode, new: Mapping[str, ir.Value], old: Mapping[str, ir.Value]) -> bool:
    """Say whether a recovered node still computes in the types that it was recorded with."""
    for name in row.inputs:
        now, before = new.get(name), old.get(name)
        if before is not None and (now is None or now.dtype != before.dtype):
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
            yield Initializer(name=name, parameter=known[base].parameter, transform="derived")
        else:
            yield Initializer(name=name)
