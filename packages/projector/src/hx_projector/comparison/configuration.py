"""What an operator is asked to do: its attributes, and the types of what it reads and gives."""

import hashlib
from collections.abc import Mapping

import onnx_ir as ir

from hx_graph import captures, inputs_of, nested_graphs
from hx_projector.comparison.canonical import canonical_form
from hx_projector.comparison.signature import attributes_in_words, operator_of, outputs_of


def operator_configuration(node: ir.Node, opsets: Mapping[str, int]) -> str:
    """Return operator, types of operands and results, and attributes, as text: `Softmax(FLOAT) -> FLOAT axis=1`.

    Equal exactly for nodes that ask the same of a kernel, whatever the sizes. Attributes at their default are left out; of a
    body the start of a digest stands there. The opsets are the model's.
    """
    words = attributes_in_words(node, opsets)
    for name, body in nested_graphs(node):
        words[name] = hashlib.sha256(canonical_form(body, captures(body), opsets).encode()).hexdigest()[:12]
    reads = ", ".join(map(_type, inputs_of(node)))
    gives = ", ".join(map(_type, node.outputs[: outputs_of(node)]))
    return " ".join([f"{operator_of(node)}({reads}) -> {gives}", *(f"{name}={words[name]}" for name in sorted(words))])


def _type(value: ir.Value | None) -> str:
    if value is None or not value.name:
        return "none"
    return (
        "?"
        if value.type is None
        else value.type.dtype.name
        if isinstance(value.type, ir.TensorType)
        else str(value.type)
    )
