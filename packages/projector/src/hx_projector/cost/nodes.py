"""What every node of a model costs: multiply-accumulates, weights, bytes of results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx
import onnx.inliner
import onnx_ir as ir

from hx_graph import body_path, nested_graphs, output_of
from hx_projector.cost.arithmetic import Arithmetic, OnnxTool, operator_name, without_macs
from hx_projector.cost.sizes import MeasureShapes, ValueTypes, value_types

_SMALL_BYTES = 1000
"""Tensors of sizes and axes are smaller: what decides shapes."""


class NodeCost(NamedTuple):
    """One node.

    Attributes:
        graph: Path of its graph, as in a sidecar.
        output: Its first output.
        arithmetic: What it computes, its bodies excepted; of a body of a Scan, in all steps together.
        activation_bytes: Of all its outputs; of a constant, 0.
        unsized_values: Outputs whose size is unknown, which are not in `activation_bytes`.
        weights: Names of the initializers that it reads.
    """

    graph: str
    output: str
    arithmetic: Arithmetic
    activation_bytes: int
    unsized_values: int
    weights: tuple[str, ...]


class Weight(NamedTuple):
    """One initializer."""

    elements: int
    size_bytes: int
    dtype: ir.DataType


class ModelCost(NamedTuple):
    """All nodes of a model, those of functions excepted: a call of a function costs what its body does.

    Attributes:
        nodes: In graph order, those of bodies after their node.
        weights: By name.
        counted_once: Nodes in bodies of If and Loop. Each counts once, both branches, whatever runs.
        inputs: Sizes that the inputs have.
    """

    nodes: list[NodeCost]
    weights: dict[str, Weight]
    counted_once: int
    inputs: dict[str, list[int] | None]


def model_cost(
    model: ir.Model,
    given: Mapping[str, Sequence[int]],
    recorded: Mapping[str, Sequence[int]],
    measure_shapes: MeasureShapes | None = None,
) -> ModelCost:
    """Count what every node costs. Weights that are stored outside the file are not read.

    Args:
        model: Not changed.
        given: Shapes of inputs.
        recorded: Shapes of inputs where those leave a symbol open.
        measure_shapes: Asked for sizes that neither file nor inference know; see `value_types`.

    Raises:
        HxError: HX213 if onnx-tool is not installed, HX409 if a shape in `given` is none that the model takes.
    """
    tool = OnnxTool()
    types = value_types(model, given, recorded, measure_shapes)
    counted = _Counting(model, types, tool)
    counted.graph(model.graph, "", 1, certain=True)
    inputs: dict[str, list[int] | None] = {}
    for value in model.graph.inputs:
        if not value.is_initializer():
            sizes = types.sizes.get(value)
            inputs[str(value.name)] = None if sizes is None else list(sizes)
    return ModelCost(counted.nodes, counted.weights, counted.counted_once, inputs)


class _Counting:
    def __init__(self, model: ir.Model, types: ValueTypes, tool: OnnxTool) -> None:
        self.nodes: list[NodeCost] = []
        self.weights: dict[str, Weight] = {}
        self.counted_once = 0
        self._model = model
        self._types = types
        self._tool = tool
        self._bodies: dict[bytes, Arithmetic | None] = {}  # by nodes that are alike but for names

    def graph(self, graph: ir.Graph, path: str, times: int, *, certain: bool) -> None:
        """Count a graph's nodes and those of their bodies.

        Args:
            graph: It.
            path: Of it.
            times: How often it runs.
            certain: Whether it runs just as often.
        """
        for node in graph:
            self.counted_once += not certain
            self.nodes.append(self._node(node, path, times))
            for name, body in nested_graphs(node) if node.attributes else ():
                steps = self._steps(node)
                self.graph(
                    body,
                    body_path(path, node, name),
                    times * (steps or 1),
                    certain=certain and steps is not None,
                )

    def _node(self, node: ir.Node, path: str, times: int) -> NodeCost:
        found = self._arithmetic(node)
        if times != 1:
            found = found._replace(macs=found.macs * times, other=found.other * times)
        produced = [value for value in node.outputs if value.name and node.op_type != "Constant"]
        sizes = [self._types.size_bytes(value) for value in produced]
        return NodeCost(
            path,
            output_of(node),
            found,
            times * sum(size for size in sizes if size is not None),
            sizes.count(None),
            self._read(node),
        )

    def _read(self, node: ir.Node) -> tuple[str, ...]:
        names: list[str] = []
        for value in node.inputs:
            if value is None or value.const_value is None or not value.is_initializer():
                continue
            name = str(value.name)
            names.append(name)
            if name not in self.weights:
                tensor = value.const_value
                self.weights[name] = Weight(math.prod(tensor.shape.numpy()), tensor.nbytes, tensor.dtype)
        return tuple(dict.fromkeys(names))

    def _arithmetic(self, node: ir.Node) -> Arithmetic:
        sizes = self._types.sizes
        function = self._model.functions.get(node.op_identifier())
        found: Arithmetic | None = None
        if function is None:
            inputs = [None if value is None else sizes.get(value) for value in node.inputs]
            found = self._tool.arithmetic(node, inputs, [sizes.get(value) for value in node.outputs])
        if found is None and (function is not None or not node.domain):
            found = self._expanded(node)
        return found or without_macs(node) or Arithmetic(unknown=((operator_name(node), "no formula"),))

    def _expanded(self, node: ir.Node) -> Arithmetic | None:
        """Return what the body of a function computes, for the inputs of this node.

        ONNX defines operators by others too: attention by two products.
        """
        alone = self._alone(node)
        if alone is None:
            return without_macs(node) or Arithmetic(unknown=((operator_name(node), "sizes unknown"),))
        key = alone.SerializeToString(deterministic=True)
        if key not in self._bodies:
            self._bodies[key] = self._body(node, alone)
        return self._bodies[key]

    def _body(self, node: ir.Node, alone: onnx.ModelProto) -> Arithmetic | None:
        try:
            inlined = onnx.inliner.inline_selected_functions(
                alone, [(node.domain, node.op_type)], exclude=False, inline_schema_functions=True
            )
        except RuntimeError:  # its body is for other inputs
            return None
        model = ir.from_proto(inlined)
        if any(inner.op_identifier() == node.op_identifier() for inner in model.graph):
            return None  # no body
        inner = _Counting(model, value_types(model, {}, {}), self._tool)
        inner.graph(model.graph, "", 1, certain=True)
        return Arithmetic(
            sum(row.arithmetic.macs for row in inner.nodes),
            sum(row.arithmetic.other for row in inner.nodes),
            tuple(dict.fromkeys(pair for row in inner.nodes for pair in row.arithmetic.unknown)),
            tuple(dict.fromkeys(name for row in inner.nodes for name in row.arithmetic.uncounted)),
        )

    def _alone(self, node: ir.Node) -> onnx.ModelProto | None:
        """Return a model of this node alone, small constants included; None where a size is unknown."""
        proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain, overload=node.overload)
        proto.attribute.extend(ir.to_proto(attribute) for attribute in node.attributes.values())
        graph = onnx.GraphProto(name="alone", node=[proto])
        names: dict[ir.Value, str] = {}
        for value in node.inputs:
            if value is not None and value not in names:
                dtype, sizes = self._types.dtype(value), self._types.sizes.get(value)
                if dtype is None or sizes is None:
                    return None
                names[value] = f"in{len(names)}"
                graph.input.append(onnx.helper.make_tensor_value_info(names[value], int(dtype), sizes))
                if value.const_value is not None and value.const_value.nbytes <= _SMALL_BYTES:
                    tensor = ir.Tensor(value.const_value.numpy(), dtype=dtype, name=names[value])
                    graph.initializer.append(ir.to_proto(tensor))
        graph.node[0].input.extend(names[value] if value is not None else "" for value in node.inputs)
        for position, value in enumerate(node.outputs):
            graph.node[0].output.append(f"out{position}" if value.name else "")
            if value.name:
                dtype = self._types.dtype(value) or ir.DataType.FLOAT
                sizes = self._types.sizes.get(value)
                graph.output.append(onnx.helper.make_tensor_value_info(f"out{position}", int(dtype), sizes))
        imports = [onnx.helper.make_opsetid(*pair) for pair in self._model.opset_imports.items()]
        functions = [ir.to_proto(function) for function in self._model.functions.values()]
        return onnx.helper.make_model(graph, opset_imports=imports, functions=functions)

    def _steps(self, node: ir.Node) -> int | None:
        """Return how often the body of a node runs, where that is known: a Scan's, as long as what it scans."""
        if node.op_type != "Scan" or node.domain:
            return None
        scanned = node.attributes["num_scan_inputs"].as_int()
        axes = node.attributes.get("scan_input_axes")
        value = node.inputs[len(node.inputs) - scanned]
        sizes = self._types.sizes.get(value) if value is not None else None
        axis = axes.as_ints()[0] if axes is not None else 0
        return sizes[axis] if sizes else None
