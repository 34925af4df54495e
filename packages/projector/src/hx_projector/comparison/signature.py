"""What a node, an attribute and a value are by themselves, whatever they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from hx_graph import dims_of, function_path

_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def operator_of(node: ir.Node) -> str:
    """Return domain, operator and overload, `::` between; the domain of ONNX's own is left out."""
    return function_path(node.op_identifier())


def plain_attributes(holder: ir.Node | ir.Function) -> str:
    """Return all attributes but the bodies, as text that is equal exactly for equal attributes."""
    attributes: Mapping[str, ir.Attr] = holder.attributes
    if not attributes:
        return ""
    plain = [
        (name, attribute.type.name, attribute_text(attribute))
        for name, attribute in sorted(attributes.items())
        if attribute.type not in _GRAPHS or attribute.is_ref()
    ]
    return str(plain) if plain else ""


def attribute_text(attribute: ir.Attr) -> str:
    """Return the value of an attribute that is no body as text that is equal exactly for equal values.

    Tensors are told by their digest, a reference to an attribute of a function by that one's name.
    """
    kind = attribute.type
    if attribute.is_ref():
        return f"@{attribute.ref_attr_name}"
    # A file holds 32 bits; in memory the exporter's value may have 64.
    if kind == ir.AttributeType.FLOAT:
        return np.float32(attribute.as_float()).tobytes().hex()
    if kind == ir.AttributeType.FLOATS:
        return np.array(attribute.as_floats(), np.float32).tobytes().hex()
    if kind == ir.AttributeType.TENSOR:
        return _tensor_text(attribute.as_tensor())
    if kind == ir.AttributeType.TENSORS:
        return str([_tensor_text(tensor) for tensor in attribute.as_tensors()])
    return str(attribute.value)


def _tensor_text(tensor: ir.TensorProtocol) -> str:
    # Strings have no bytes of one length.
    text = tensor.dtype == ir.DataType.STRING
    content = repr(tensor.numpy().tolist()).encode() if text else tensor.tobytes()
    return f"{tensor.dtype} {list(tensor.shape)} {hashlib.sha256(content).hexdigest()}"


def type_of(value: ir.Value) -> str:
    """Return the type of a value: `FLOAT[2,?]` with a symbol, `FLOAT[...]` of unknown rank, `Sequence(Tensor(FLOAT))[2]`."""
    kind = value.type
    name = str(kind.dtype) if isinstance(kind, ir.TensorType) else str(kind)
    if value.shape is None:
        return f"{name}[...]"
    return f"{name}[{','.join('?' if not isinstance(dim, int) else str(dim) for dim in dims_of(value.shape))}]"
