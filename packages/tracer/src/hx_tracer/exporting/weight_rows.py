"""What became of parameters: which initializers are one, are one transposed, or were computed.

It is known by where a value came from, never by its numbers.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
import torch

from hx_graph import is_size_query, is_small
from hx_sidecar_schema import Initializer
from hx_tracer.exporting.raw_graph import RawGraph
from hx_tracer.exporting.survivors import Survivors
from hx_tracer.watch.file_weights import FileWeights
from hx_tracer.watch.unread import unread_weights


class _Origin(NamedTuple):
    """A parameter, and how its axes lie in a value; none where nothing was transposed."""

    parameter: str
    permutation: list[int]


def weight_rows(module: torch.nn.Module, survivors: Survivors, graph: ir.Graph) -> list[Initializer]:
    """Return a row for each initializer: the parameter that it is, that was transposed, or in whose place it is, or those that it was folded from."""
    raw, names = survivors.raw, _tied_names(module)
    before = {value.name: value for value in raw.initializers}
    made = {out.name: out for node in raw.nodes for out in node.outputs}
    merged = _merged(survivors, graph)
    rows: list[Initializer] = []
    for name, value in graph.initializers.items():
        old = before.get(name) or made.get(name)
        if old is None:
            rows.append(Initializer(name=name))
            continue
        origin = _origin(raw, old, value.const_value)
        equal = merged.get(id(value), [])
        others = [_origin(raw, *one) for one in equal]
        if origin is not None and all(other and other.permutation == origin.permutation for other in others):
            row = Initializer(
                name=name,
                parameter=origin.parameter,
                transform="transposed" if origin.permutation else None,
                permutation=origin.permutation,
                aliases=[other for other in names.get(origin.parameter, ()) if other != origin.parameter],
                merged=sorted({other.parameter for other in others if other} - {origin.parameter}),
            )
        elif origin is None and name in before:  # Conv+BatchNorm fusion puts new weights under the name of the old ones
            row = Initializer(name=name, parameter=raw.parameters[id(old)], transform="fused")
        else:
            sources = _sources(raw, [old, *(other for other, _ in equal)])
            parameter = origin.parameter if origin else sources[0] if len(sources) == 1 else None
            row = Initializer(name=name, parameter=parameter, transform="folded", sources=sources)
        rows.append(row)
    unread = unread_weights(module)
    return rows if unread is None else [_marked(row, graph.initializers[row.name].const_value, unread) for row in rows]


def dropped_parameters(raw: RawGraph, rows: Iterable[Initializer]) -> list[str]:
    """Return the parameters and buffers that outputs were computed from, and that are in no row of an initializer."""
    told = {name for row in rows for name in (row.parameter, *row.aliases, *row.merged, *(row.sources or ()))}
    told |= {raw.parameters[key] for key in raw.constants}  # no module has these
    return [name for name in _sources(raw, [*raw.outputs]) if name not in told]


def _marked(row: Initializer, tensor: ir.TensorProtocol | None, unread: FileWeights) -> Initializer:
    """Return a row that says whether its tensor, or one that it is a view of, was not made."""
    is_unmade = tensor is not None and not is_small(tensor.shape.numpy()) and unread.spans(tensor.numpy().ctypes.data)
    return row.model_copy(update={"unmade": is_unmade})


def _tied_names(module: torch.nn.Module) -> dict[str, list[str]]:
    """Return all names of parameters that have several: those of tied weights."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {name: tied for tied in names.values() if len(tied) > 1 for name in tied}


def _sources(raw: RawGraph, values: list[ir.Value]) -> list[str]:
    """Return the parameters whose numbers values were computed from, by name; not those of which only shape or type was read."""
    seen: set[int] = set()
    pending: list[ir.Value | None] = [*values]
    while pending:
        value = pending.pop()
        if value is None or id(value) in seen:
            continue
        seen.add(id(value))
        node = raw.producer.get(id(value))
        if node is None or (node.node is not None and is_size_query(node.node)):
            continue
        pending += node.inputs[:1] if node.operator == ("", "CastLike", "") else node.inputs
    return sorted(raw.parameters[key] for key in seen if key in raw.parameters)


def _merged(survivors: Survivors, graph: ir.Graph) -> dict[int, list[tuple[ir.Value, ir.TensorProtocol | None]]]:
    """Return the values that the exporter replaced by an initializer because their numbers were the same, with these."""
    raw, weights = survivors.raw, {id(value) for value in graph.initializers.values()}
    found: dict[int, list[tuple[ir.Value, ir.TensorProtocol | None]]] = {}
    for old, _ in survivors.replacements.pairs():
        *earlier, new = survivors.replacements.of(old)
        is_raw = id(old) in raw.producer or id(old) in raw.weights
        if is_raw and earlier and id(new) in weights and old.name != new.name:
            tensors = (value.const_value for value in earlier)
            found.setdefault(id(new), []).append((old, next((one for one in tensors if one is not None), None)))
    return found


def _origin(raw: RawGraph, value: ir.Value, tensor: ir.TensorProtocol | None) -> _Origin | None:
    """Return the parameter whose memory a tensor is, in the layout that the operations up to `value` give it.

    The exporter's constant folding (onnxscript 0.7) hands out views: so the tensor is the parameter's, and not one that a
    fusion put under its name.
    """
    order: list[int] | None = None
    while (node := raw.producer.get(id(value))) is not None:
        permutation = next((a for a in node.attributes if a.name == "perm"), None)
        source = node.inputs[0] if node.inputs else None
        if node.operator != ("", "Transpose", "") or source is None or permutation is None:
            return None
        own = [*permutation.as_ints()]
        order, value = own if order is None else [own[axis] for axis in order], source
    weight = raw.weights.get(id(value))
    if weight is None or tensor is None:
        return None
    if tensor is not weight:
        array = weight.numpy()
        if _layout(array if order is None else array.transpose(order)) != _layout(tensor.numpy()):
            return None
    kept = order is None or order == [*range(len(order))]
    return _Origin(raw.parameters[id(value)], [] if kept else list(order or ()))


def _layout(array: np.ndarray[Any, Any]) -> tuple[object, ...]:
    return array.ctypes.data, array.strides, array.shape, array.dtype
