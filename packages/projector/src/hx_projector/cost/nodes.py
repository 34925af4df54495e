"""The entry to cost: what every node of a model computes, reads and produces."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx
import onnx.inliner
import onnx_ir as ir

from hx_graph import body_path, nested_graphs, output_of
from hx_projector.cost.arithmetic import Arithmetic, OnnxTool, without_macs
from hx_projector.cost.shapes import KnownShapes, MeasureShapes, known_shapes

_SMALL_BYTES = 1000
"""Tensors of sizes and axes are smaller: what decides shapes."""


class NodeCost(NamedTuple):
    """What one node costs."""

    graph: str
    """Path of its graph, as in a sidecar."""
    output: str
    """Its first output."""
    arithmetic: Arithmetic
    """What it computes, without its bodies; a node in the body of a Scan, in all steps together."""
    activation_bytes: int
    """Of all its outputs; of a constant, 0."""
    unsized_values: int
    """Outputs whose size is unknown, which are not in `activation_bytes`."""
    weights: tuple[str, ...]
    """Names of the initializers that it reads."""


class Weight(NamedTuple):
    """One initializer."""

    elements: int
    size_bytes: int
    dtype: ir.DataType


class ModelCost(NamedTuple):
    """What all nodes of a model cost, those of functions excepted: a call of a function costs what its body does."""

    nodes: list[NodeCost]
    """In graph order, those of bodies after their node."""
    weights: dict[str, Weight]
    """By name."""
    counted_once: int
    """Nodes in bodies of If and Loop. Each counts once, both branches, whatever runs."""
    inputs: dict[str, list[int] | None]
    """Shapes of the inputs; None where one is unknown."""
    size_bytes: dict[str, int | None]
    """Of the inputs and results of the main graph, by name; None where unknown."""


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
        measure_shapes: Asked at most once, for the shapes that neither file nor inference know.

    Raises:
        HxError: HX213 if onnx-tool is not installed, HX409 if a shape in `given` is none that the model takes.
    """
    tool = OnnxTool()
    known = known_shapes(model, given, recorded, measure_shapes)
    counter = _Counter(model, known, tool)
    inputs = [value for value in model.graph.inputs if not value.is_initializer()]
    shapes = {str(value.name): known.shapes.get(value) for value in inputs}
    sizes = {name: None if shape is None else list(shape) for name, shape in shapes.items()}
    values = (*inputs, *(out for node in model.graph for out in node.outputs if out.name))
    size_bytes = {str(value.name): known.size_bytes(value) for value in values}
    return ModelCost(counter.nodes, counter.weights, counter.counted_once, sizes, size_bytes)


class _Counter:
    """Counts the nodes of a model, in the order in which they are given."""

    def __init__(self, model: ir.Model, known: KnownShapes, tool: OnnxTool) -> None:
        self.nodes: list[NodeCost] = []
        self.weights: dict[str, Weight] = {}
        self.counted_once = 0
        self._model, self._known, self._tool = model, known, tool
        self._expanded: dict[bytes, Arithmetic | None] = {}  # by nodes that are alike but for names
        self._count(model.graph, "", 1, certain=True)

    def _count(self, graph: ir.Graph, path: str, times: int, *, certain: bool) -> None:
        """Count the nodes of a graph and of their bodies, as often as it runs, where it is certain that it does."""
        for node in graph:
            self.counted_once += not certain
            self.nodes.append(self._node(node, path, times))
            for name, body in nested_graphs(node) if node.attributes else ():
                steps = self._steps(node)
                inner = body_path(path, node, name)
                self._count(body, inner, times * (steps or 1), certain=certain and steps is not None)

    def _node(self, node: ir.Node, path: str, times: int) -> NodeCost:
        found = self._arithmetic(node)
        found = found._replace(macs=found.macs * times, other=found.other * times)
        produced = [value for value in node.outputs if value.name and node.op_type != "Constant"]
        sizes = [self._known.size_bytes(value) for value in produced]
        read = {
            str(value.name): value.const_value
            for value in node.inputs
            if value is not None and value.const_value is not None and value.is_initializer()
        }
        for name, tensor in read.items():
            if name not in self.weights:
                self.weights[name] = Weight(math.prod(tensor.shape.numpy()), tensor.nbytes, tensor.dtype)
        return NodeCost(
            graph=path,
            output=output_of(node),
            arithmetic=found,
            activation_bytes=times * sum(size for size in sizes if size is not None),
            unsized_values=sizes.count(None),
            weights=tuple(read),
        )

    def _arithmetic(self, node: ir.Node) -> Arithmetic:
        shapes = self._known.shapes
        is_function = node.op_identifier() in self._model.functions
        found: Arithmetic | None = None
        if not is_function:
            inputs = [None if value is None else shapes.get(value) for value in node.inputs]
            found = self._tool.arithmetic(node, inputs, [shapes.get(value) for value in node.outputs])
        if found is None and (is_function or not node.domain):
            found = self._by_definition(node)
        return found or without_macs(node) or Arithmetic.unknown_of(node, "no formula")

    def _by_definition(self, node: ir.Node) -> Arithmetic | None:
        """Return what the body of a function or of an operator's definition computes; None where it has none."""
        alone = _single_node_model(self._model, node, self._known)
        if alone is None:
            return without_macs(node) or Arithmetic.unknown_of(node, "sizes unknown")
        key = alone.SerializeToString(deterministic=True)
        if key not in self._expanded:
            model = _expanded(alone)
            self._expanded[key] = None if model is None else self._total(model)
        return self._expanded[key]

    def _total(self, model: ir.Model) -> Arithmetic:
        rows = [row.arithmetic for row in _Counter(model, known_shapes(model, {}, {}), self._tool).nodes]
        return Arithmetic(
            sum(row.macs for row in rows),
            sum(row.other for row in rows),
            tuple(dict.fromkeys(pair for row in rows for pair in row.unknown)),
            tuple(dict.fromkeys(name for row in rows for name in row.uncounted)),
        )

    def _steps(self, node: ir.Node) -> int | None:
        """Return how often the body of a node runs: of a Scan, the size of the axis that it scans; None of others."""
        if node.op_type != "Scan" or node.domain:
            return None
        axis = node.attributes.get_ints("scan_input_axes", [0])[0]
        value = node.inputs[len(node.inputs) - node.attributes["num_scan_inputs"].as_int()]
        shape = self._known.shapes.get(value) if value is not None else None
        return shape[axis] if shape else None


def _single_node_model(model: ir.Model, node: ir.Node, known: KnownShapes) -> onnx.ModelProto | None:
    """Return a model of one node, its small constants and the model's functions; None where a shape or type is unknown."""
    proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain, overload=node.overload)
    proto.attribute.extend(ir.to_proto(attribute) for attribute in node.attributes.values())
    graph = onnx.GraphProto(name="alone", node=[proto])
    names: dict[ir.Value, str] = {}
    for value in node.inputs:
        if value is not None and value not in names:
            dtype, shape = known.dtype(value), known.shapes.get(value)
            if dtype is None or shape is None:
                return None
            names[value] = f"in{len(names)}"
            graph.input.append(onnx.helper.make_tensor_value_info(names[value], int(dtype), shape))
            if value.const_value is not None and value.const_value.nbytes <= _SMALL_BYTES:
                tensor = ir.Tensor(value.const_value.numpy(), dtype=dtype, name=names[value])
                graph.initializer.append(ir.to_proto(tensor))
    graph.node[0].input.extend(names[value] if value is not None else "" for value in node.inputs)
    for position, value in enumerate(node.outputs):
        graph.node[0].output.append(f"out{position}" if value.name else "")
        if value.name:
            dtype = known.dtype(value) or ir.DataType.FLOAT
            shape = known.shapes.get(value)
            graph.output.append(onnx.helper.make_tensor_value_info(f"out{position}", int(dtype), shape))
    imports = [onnx.helper.make_opsetid(*pair) for pair in model.opset_imports.items()]
    functions = [ir.to_proto(function) for function in model.functions.values()]
    return onnx.helper.make_model(graph, opset_imports=imports, functions=functions)


def _expanded(alone: onnx.ModelProto) -> ir.Model | None:
    """Return a model of one node with the body of its function, or of its operator's definition, in place of the node.

    ONNX defines operators by others too: attention by two products. None where the node has no body for these inputs.
    """
    node = alone.graph.node[0]
    try:
        inlined = onnx.inliner.inline_selected_functions(
            alone, [(node.domain, node.op_type)], exclude=False, inline_schema_functions=True
        )
    except RuntimeError:  # its body is for other inputs
        return None
    model = ir.from_proto(inlined)
    identifier = (node.domain, node.op_type, node.overload)
    return None if any(inner.op_identifier() == identifier for inner in model.graph) else model
