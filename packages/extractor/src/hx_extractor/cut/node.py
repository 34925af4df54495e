"""One node of a model as a model of its own."""

from dataclasses import dataclass

import onnx_ir as ir

from hx_extractor.cut.builder import GraphBuilder
from hx_extractor.cut.index import GraphIndex
from hx_graph import constant_of, output_of, reads


@dataclass(frozen=True)
class NodePart:
    """One node as a model: what it reads and gives is called by its place, `input_0` and `output_0`."""

    model: ir.Model
    """What the node reads that is constant is an initializer here; its numbers stay where they are."""
    inputs: dict[str, str]
    """Names of the model's inputs, with the values of the whole model that they stand for: operands first, then what bodies read."""
    outputs: dict[str, str]


def node_part(index: GraphIndex, node: ir.Node) -> NodePart:
    """Make a model of one node of the main graph; see `Hierarchy.node_part`."""
    operands = list(dict.fromkeys(reads(node)))
    names = {name: f"input_{place}" for place, name in enumerate(operands)}
    outputs = {f"output_{place}": out.name for place, out in enumerate(node.outputs) if out.name}
    builder = GraphBuilder(index, {}, taken={*names.values(), *outputs})
    inputs: dict[str, str] = {}
    for carrier, name in names.items():
        value = index.typed.get(carrier) or index.value(carrier)
        tensor = constant_of(value)
        if tensor is not None:
            builder.add_weight(carrier, name, tensor)
        else:
            builder.add_input(name, carrier, value.type, value.shape)
            inputs[name] = carrier
    for name, carrier in outputs.items():
        value = index.typed[carrier]
        builder.add_output(carrier, name, value.type, value.shape)
    model = builder.model()
    for made in model.graph:
        if output_of(made) in outputs:
            made.name = made.op_type
    return NodePart(model, inputs, outputs)
