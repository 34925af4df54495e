"""What a node, an attribute and a value are by themselves, whatever they are called."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import onnx
import onnx_ir as ir

from hx_graph import dims_of, function_path


def operator_of(node: ir.Node) -> str:
    """Return domain, operator and overload, `::` between; the domain of ONNX's own is left out."""
    return function_path(node.op_identifier())


def outputs_of(node: ir.Node) -> int:
    """Return how many outputs a node has, without those at its end that have no name: they are left out."""
    count = len(node.outputs)
    while count and not node.outputs[count - 1].name:
        count -= 1
    return count


def plain_attributes(holder: ir.Node | ir.Function, opsets: Mapping[str, int] | None = None) -> str:
    """Return all attributes but the bodies, as text that is equal exactly for equal attributes.

    Of a function these are the defaults of its attributes; of a node those at the default of its opset are left out.
    """
    defaults = _defaults_of(holder, opsets) if isinstance(holder, ir.Node) and opsets else {}
    plain = [
        (name, *_text_of(attribute))
        for name, attribute in sorted(holder.attributes.items())
        if not _is_body(attribute) and _text_of(attribute) != _text_of(defaults.get(name))
    ]
    return str(plain) if plain else ""


def attribute_differences(left: ir.Node, right: ir.Node) -> dict[str, tuple[str, str]]:
    """Return the attributes in which two nodes of an operator differ, with both values in words; bodies are left out."""
    one, two = (
        {**_defaults_of(node, node.graph.opset_imports if node.graph else {}), **node.attributes}
        for node in (left, right)
    )
    bodies = {name for side in (one, two) for name, attribute in side.items() if _is_body(attribute)}
    return {
        name: (_in_words(one.get(name)), _in_words(two.get(name)))
        for name in sorted({*left.attributes, *right.attributes} - bodies)
        if _text_of(one.get(name)) != _text_of(two.get(name))
    }


def attributes_in_words(node: ir.Node, opsets: Mapping[str, int]) -> dict[str, str]:
    """Return the attributes of a node by name; bodies, and those at the default of its opset, are left out."""
    defaults = _defaults_of(node, opsets)
    return {
        name: _in_words(attribute)
        for name, attribute in node.attributes.items()
        if not _is_body(attribute) and _text_of(attribute) != _text_of(defaults.get(name))
    }


def _is_body(attribute: ir.Attr) -> bool:
    return attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) and not attribute.is_ref()


def _text_of(attribute: ir.Attr | None) -> tuple[str, ...]:
    return () if attribute is None else (attribute.type.name, attribute_text(attribute))


def _in_words(attribute: ir.Attr | None) -> str:
    if attribute is None:
        return "none"
    kind = attribute.type
    if attribute.is_ref() or kind in (ir.AttributeType.TENSOR, ir.AttributeType.TENSORS):
        return attribute_text(attribute)
    if kind == ir.AttributeType.FLOAT:
        return str(np.float32(attribute.as_float()))
    if kind == ir.AttributeType.FLOATS:
        return str([float(str(np.float32(number))) for number in attribute.as_floats()])
    is_list = isinstance(attribute.value, Sequence) and not isinstance(attribute.value, str)
    return str(list(attribute.value) if is_list else attribute.value)


def _defaults_of(node: ir.Node, opsets: Mapping[str, int]) -> Mapping[str, ir.Attr]:
    version = opsets.get(node.domain)
    return {} if version is None else _defaults(node.op_type, node.domain, version)


@cache
def _defaults(operator: str, domain: str, version: int) -> Mapping[str, ir.Attr]:
    """Return the attributes of an operator at their defaults, as ONNX defines them; nothing for operators of others."""
    try:
        schema = onnx.defs.get_schema(operator, version, domain)
    except onnx.defs.SchemaError:
        return {}
    values = {name: row.default_value for name, row in schema.attributes.items() if row.default_value.type}
    return {name: ir.serde.deserialize_attribute(value) for name, value in values.items()}


def attribute_text(attribute: ir.Attr) -> str:
    """Return the value of an attribute that is no body as text, equal exactly for equal values; of tensors their digest."""
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
    return f"{name}[{','.join(str(dim) if isinstance(dim, int) else '?' for dim in dims_of(value.shape))}]"
