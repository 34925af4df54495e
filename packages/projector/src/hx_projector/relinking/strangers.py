"""Whether a model was made of an export at all."""

from collections.abc import Sequence
from itertools import islice

import onnx_ir as ir

from hx_graph import INDEX_TYPES, can_be_equal, dims_of
from hx_projector._graph_index import Wiring
from hx_projector.relinking.correspondence import name_inside
from hx_projector.relinking.original import Outline, ValueType, types_of
from hx_sidecar_schema import HxError, Sidecar

_COMPARED = 1000
"""So many values are looked at; where most have other shapes, names are equal by chance."""


def refuse_strangers(graph: ir.Graph, new: Wiring, old: Outline, sidecar: Sidecar, file: str) -> None:
    """Refuse a model that was not made of the original: names alone do not tell, as exporters give the same ones in all models.

    Args:
        graph: Of the model.
        new: The same graph.
        old: The graph of the original.
        sidecar: Of the original.
        file: Name of the model's file.

    Raises:
        HxError: HX211, with what does not fit.
    """
    reason = ""
    # Tools add inputs and outputs beside those that there are, drop some, and make inner values inputs or outputs.
    ends_differ = len(new.inputs) > len(old.inputs) and not set(old.inputs) <= set(new.inputs)
    if len(new.outputs) != len(old.outputs) and not set(old.outputs) <= set(new.outputs):
        ends_differ = ends_differ or not all(map(old.is_data_value, new.outputs))
    if ends_differ:
        reason = f"it has the inputs {new.inputs} and outputs {new.outputs}, not {old.inputs} and {old.outputs}"
    elif old.producer and new.producer and new.inputs != old.inputs and not _has_names(new, old):
        reason = "no value has a name with one of the original's in it"
    else:
        reason = _other_weights(new, old) or ("" if _has_weights(graph, old) else _other_shapes(graph, old))
    if reason:
        raise HxError(
            f"Model {file!r} was not made of {sidecar.model.file!r}: {reason}.",
            code="HX211",
            hint="Name the export that it was made of.",
            argument="original",
        )


def _has_names(new: Wiring, old: Outline) -> bool:
    """Say whether a graph has a value that is called as one of the original's, or so with something before or behind it."""
    return any(name in old.producer or name_inside(name, old.producer) for name in new.producer)


def _other_weights(new: Wiring, old: Outline) -> str:
    """Say that nodes have names of the original's by chance, as where values were numbered anew; nothing where they do not."""
    found: list[tuple[str, set[str], set[str]]] = []
    common = {name for name, dtype in new.initializers.items() if name in old.initializers and dtype not in INDEX_TYPES}
    for key in new.operators:
        if old.producer.get(key) == key:
            mine, theirs = common.intersection(new.weights_of(key)), common.intersection(old.weights_of(key))
            if mine and theirs:
                found.append((key, mine, theirs))
    other = [row for row in found if row[1].isdisjoint(row[2])]
    if 2 * len(other) <= len(found):
        return ""
    key, mine, theirs = other[0]
    return (
        f"of {len(found)} nodes with the same name and weights of it {len(other)} read other ones, as that of {key!r} "
        f"{min(mine)!r}, not {min(theirs)!r}"
    )


def _has_weights(graph: ir.Graph, old: Outline) -> bool:
    """Say whether most weights with names of the original's have as many numbers: a tool may change the ranks of everything."""
    found = types_of(value for name, value in graph.initializers.items() if name in old.initializers)
    sizes = [(known.elements, old.types[name].elements) for name, known in found.items() if _has_data(known)]
    return 2 * sum(now == before for now, before in sizes) > len(sizes)


def _has_data(weight: ValueType) -> bool:
    return weight.dtype not in INDEX_TYPES and (weight.elements or 0) > 1


def _other_shapes(graph: ir.Graph, old: Outline) -> str:
    """Say that a graph's first values have names of the original's by chance; nothing where they do not.

    Exporters call values alike in all models, as `linear_3`. Tools leave most of them their shapes, but for sizes that they fix.
    """
    produced = (out for node in graph for out in node.outputs)
    shared = (value for value in (*graph.inputs, *produced) if old.is_data_value(str(value.name)))
    first = [(value, old.types[str(value.name)].shape) for value in islice(shared, _COMPARED)]
    other = [(value, shape) for value, shape in first if _is_unlike(dims_of(value.shape), dims_of(shape))]
    if 2 * len(other) <= len(first):
        return ""
    value, shape = other[0]
    return (
        f"of {len(first)} values with the same name {len(other)} have other shapes, as {value.name!r} {dims_of(value.shape)}, "
        f"not {dims_of(shape)}"
    )


def _is_unlike(one: Sequence[int | str], other: Sequence[int | str]) -> bool:
    """Say whether two known shapes have other ranks, or another size everywhere."""
    if not one or not other:  # numbers, or nothing is known
        return False
    return len(one) != len(other) or not any(can_be_equal([a], [b]) for a, b in zip(one, other, strict=True))
