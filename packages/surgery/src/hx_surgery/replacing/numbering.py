"""What every value of a model computes, as a digest: equal ones compute the same from the same inputs and weights."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from hx_graph import drawing_nodes, nested_graphs, nodes_below, nodes_in, output_of
from hx_projector import function_form, operator_of, outputs_of, plain_attributes

_IDENTITY = ("", "Identity", "")


class TensorDigests:
    """Digests of tensors by element type, shape and content; each is read once."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[int, tuple[ir.TensorProtocol, str]] = {}

    def of(self, tensor: ir.TensorProtocol) -> str:
        """Return the digest of a tensor. One in a file is mapped, not loaded."""
        if id(tensor) not in self._known:
            array = tensor.numpy()
            text = tensor.dtype == ir.DataType.STRING
            content = repr(array.tolist()).encode() if text else _bytes_of(array)
            made = hashlib.sha256(f"{tensor.dtype} {list(array.shape)} ".encode())
            made.update(content)
            self._known[id(tensor)] = tensor, made.hexdigest()
        return self._known[id(tensor)][1]


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


class Numbering:
    """The values of a model's main graph and its bodies, by what they compute.

    A node that draws random numbers computes what no other does, unless that has its name.

    Args:
        model: Its nodes are in order.
        leaves: Digests of inputs of the graph by name, where another is wanted than one of the name.
        tensors: Of weights.
    """

    def __init__(self, model: ir.Model, leaves: Mapping[str, str], tensors: TensorDigests) -> None:
        """Number all values."""
        self._tensors, self._opsets = tensors, model.graph.opset_imports
        functions = "".join(f"{key}:{function_form(model.functions[key])}" for key in sorted(model.functions))
        self._functions = dict.fromkeys(model.functions, functions)  # they may call each other
        self._drawing = {
            key for key, function in model.functions.items() if drawing_nodes(node for _, node in nodes_in(function))
        }
        self.of: dict[ir.Value, str] = {}
        graph = model.graph
        self.of |= {value: leaves.get(str(value.name), f"input {value.name}") for value in graph.inputs}
        self._weights(value for value in graph.initializers.values() if str(value.name) not in leaves)
        self._nodes(graph, 0)

    def _weights(self, values: Iterable[ir.Value]) -> None:
        for value in values:
            tensor = value.const_value
            self.of[value] = f"weight {value.name if tensor is None else self._tensors.of(tensor)}"

    def _nodes(self, graph: ir.Graph, depth: int) -> None:
        for node in graph:
            key = node.op_identifier()
            if key == _IDENTITY and node.inputs[0] is not None:
                self.of[node.outputs[0]] = self.of[node.inputs[0]]
                continue
            inside = (node, *(inner for _, inner in nodes_below(node))) if node.attributes else (node,)
            drawn = bool(drawing_nodes(inside)) or any(inner.op_identifier() in self._drawing for inner in inside)
            parts = [
                operator_of(node),
                self._functions.get(key, ""),
                output_of(node) if drawn else "",
                plain_attributes(node, self._opsets),
                *("" if value is None else self.of[value] for value in node.inputs),
                str(outputs_of(node)),
            ]
            for name, body in nested_graphs(node) if node.attributes else ():
                self.of |= {value: f"body {depth}.{number}" for number, value in enumerate(body.inputs)}
                self._weights(body.initializers.values())
                self._nodes(body, depth + 1)
                parts += [name, *(self.of[value] for value in body.outputs)]
            digest = hashlib.sha256(repr(parts).encode()).hexdigest()
            self.of |= {out: f"{digest}.{index}" for index, out in enumerate(node.outputs)}
