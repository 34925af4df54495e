"""What a part of a model computes, whatever its weights hold: two with one form are the same work for a compiler."""

import hashlib
import re

import onnx_ir as ir

from hx_graph import INDEX_TYPES, constant_of, dims_of
from hx_projector.comparison.canonical import topology_digest

_SYMBOL = re.compile(r"[^\W\d]\w*")


def form_digest(model: ir.Model) -> str:
    """Return a SHA-256 over the form of a model, as hex; the same on every machine.

    Two models have one form if one becomes the other by renaming nodes, values, weights, ports and symbols of dimensions,
    reordering nodes, and changing the numbers of weights. So operators, attributes, opsets, edges, and types and sizes of
    inputs, outputs and weights count, and which of the dynamic dimensions are equal; and the contents of constants of
    `INDEX_TYPES`: axes, shapes and indices say what is computed. Whether an initializer or a `Constant` holds a number does
    not count, nor which weights are one: exporters merge those that hold the same, such as biases of zeros.
    """
    types = _Types()
    return topology_digest(model, types.of, types.of_constant)


class _Types:
    """Types of values in which symbols are numbered in the order in which they are met."""

    def __init__(self) -> None:
        self._symbols: dict[str, str] = {}

    def of(self, value: ir.Value) -> str:
        kind = value.type
        name = str(kind.dtype) if isinstance(kind, ir.TensorType) else str(kind)
        return f"{name}[{'...' if value.shape is None else ','.join(map(self._dim, dims_of(value.shape)))}]"

    def of_constant(self, value: ir.Value) -> str | None:
        tensor = constant_of(value)
        if tensor is None:
            return None
        content = ""
        if tensor.dtype in INDEX_TYPES:
            array = tensor.numpy()
            text = repr(array.tolist()).encode() if tensor.dtype == ir.DataType.STRING else array.tobytes()
            content = f"={hashlib.sha256(text).hexdigest()}"
        return f"w:{tensor.dtype}{list(tensor.shape)}{content}"

    def _dim(self, dim: int | str) -> str:
        return _SYMBOL.sub(lambda found: self._symbols.setdefault(found[0], f"s{len(self._symbols)}"), str(dim))
