"""Weights of a graph: which calls read them, and other tensors in their place."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import onnx_ir as ir

from hx_graph._nested import all_graphs, nested_graphs, nodes_in, output_of
from hx_sidecar_schema import Initializer, lean

LARGE_BYTES = 16 << 20
"""Weights beyond this size are written to a data file of their own: inside protobuf each byte is copied thrice."""


def initializer_rows(
    graph: ir.Graph, known: Iterable[Initializer], owners: Mapping[tuple[str, str], int]
) -> list[Initializer]:
    """Return a row for every initializer of a main graph, with its size and the calls that read it.

    Args:
        graph: The graph.
        known: What is known of its initializers; a row of another name is returned as it is.
        owners: Path of its graph and first output of each node, those of bodies too, to the row of its call.
    """
    rows = {row.name: row for row in known}
    rows |= {name: Initializer(name=name) for name in graph.initializers if name not in rows}
    readers: dict[str, set[int]] = {}
    for path, node in nodes_in(graph):
        read = list(node.inputs)
        if node.attributes:
            read += [value for _, body in nested_graphs(node) for value in body.outputs]
        for value in read:
            if value is not None and value.is_initializer() and value is graph.initializers.get(str(value.name)):
                readers.setdefault(str(value.name), set()).add(owners[path, output_of(node)])
    return [
        lean(row.model_copy(update={"elements": _elements(value), "readers": sorted(readers.get(name, ()))}))
        if (value := graph.initializers.get(name)) is not None
        else row
        for name, row in rows.items()
    ]


def has_large_weights(graph: ir.Graph) -> bool:
    """Say whether all initializers of a main graph together are large, wherever they lie."""
    tensors = (value.const_value for value in graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None) > LARGE_BYTES


def _elements(value: ir.Value) -> int:
    return 0 if value.shape is None else math.prod(dim for dim in value.shape if isinstance(dim, int))


def constant_of(value: ir.Value) -> ir.TensorProtocol | None:
    """Return the tensor that a value always is: an initializer's, or that of a `Constant`; None of others, and of a sparse one."""
    node = value.producer()
    if value.const_value is not None or node is None:
        return value.const_value
    if node.op_type != "Constant" or node.domain or "sparse_value" in node.attributes:
        return None
    return ir.convenience.get_const_tensor(value)


class TensorSlot(NamedTuple):
    """A tensor of a model, where it stands."""

    name: str
    """Of the initializer, or of the node and its attribute; for messages."""
    tensor: ir.TensorProtocol
    put: Callable[[ir.TensorProtocol], None]
    """Put another one there."""


def tensors_in(model: ir.Model) -> Iterator[TensorSlot]:
    """Yield all tensors of a model: initializers and attributes, of the main graph, bodies and functions.

    Of a function also the defaults of its own attributes.
    """
    for graph in all_graphs(model):
        if isinstance(graph, ir.Function):
            yield from _tensors_in_attributes(graph.name, graph.attributes)
        else:
            for value in graph.initializers.values():
                if value.const_value is not None:
                    yield TensorSlot(str(value.name), value.const_value, partial(setattr, value, "const_value"))
        for node in graph:
            if node.attributes.data:
                yield from _tensors_in_attributes(output_of(node), node.attributes)


def _tensors_in_attributes(holder: str, attributes: MutableMapping[str, ir.Attr]) -> Iterator[TensorSlot]:
    for name, attribute in attributes.items():
        if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
            yield TensorSlot(f"{holder}.{name}", attribute.as_tensor(), partial(_put, attributes, name, None))
        elif attribute.type == ir.AttributeType.TENSORS and not attribute.is_ref():
            for index, tensor in enumerate(attribute.as_tensors()):
                yield TensorSlot(f"{holder}.{name}.{index}", tensor, partial(_put, attributes, name, index))


def _put(attributes: MutableMapping[str, ir.Attr], name: str, index: int | None, tensor: ir.TensorProtocol) -> None:
    if index is None:
        attributes[name] = ir.AttrTensor(name, tensor)
    else:
        tensors = [*attributes[name].as_tensors()]
        tensors[index] = tensor
        attributes[name] = ir.AttrTensors(name, tensors)


@contextmanager
def replaced_tensors(model: ir.Model, new: Callable[[TensorSlot], ir.TensorProtocol | None]) -> Generator[None]:
    """Let tensors be others for a while, where `new` returns one: a copy of the graph would take its nodes away."""
    with ExitStack() as kept:
        for slot in list(tensors_in(model)):
            if (tensor := new(slot)) is not None:
                kept.callback(slot.put, slot.tensor)
                slot.put(tensor)
        yield


def in_memory(slot: TensorSlot) -> ir.TensorProtocol | None:
    """Return a tensor of a file as one in memory, mapped and not read; None for others. For `replaced_tensors`."""
    tensor = slot.tensor
    return ir.Tensor(tensor.numpy(), name=tensor.name) if isinstance(tensor, ir.ExternalTensor) else None
