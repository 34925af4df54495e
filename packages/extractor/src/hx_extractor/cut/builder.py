"""Building a new graph from parts of another.

Values are asked for by name; each is built once, after what it reads. The other graph is never changed, weights
are shared and not read.
"""

from collections.abc import Collection, Mapping

import onnx_ir as ir

from hx_extractor.cut.index import GraphIndex
from hx_extractor.cut.source import Source
from hx_graph import called_functions, copied_attribute, nodes_in, values_in
from hx_sidecar_schema import UnavailableValue


class GraphBuilder:
    """A graph under construction.

    Args:
        parent: Where nodes and weights come from.
        recovered: Nodes that stand for the parent's own, by the values they make.
        taken: Names that inner values must not have, because inputs and outputs will.
    """

    def __init__(self, parent: GraphIndex, recovered: Mapping[str, Source], taken: Collection[str] = ()) -> None:
        """Begin with nothing."""
        self.parent = parent
        self._recovered = recovered
        self._taken = set(taken)
        self._values: dict[str, ir.Value] = {}
        self._node_names: set[str] = set()
        self._built: set[int] = set()
        self._inputs: list[ir.Value] = []
        self._outputs: list[ir.Value] = []
        self._initializers: list[ir.Value] = []
        self._nodes: list[ir.Node] = []
        self.sources: list[Source] = []
        """What the graph was built of, in execution order."""
        self.copies: dict[ir.Node, ir.Node] = {}
        """Nodes of the graph with the nodes that they are copies of, those of bodies too."""

    def add_input(self, name: str, carrier: str, kind: ir.TypeProtocol | None, shape: ir.Shape | None) -> ir.Value:
        """Make a graph input that stands for the parent's value `carrier`."""
        value = ir.Value(name=name, type=kind, shape=_copy(shape))
        self._inputs.append(value)
        self._values[carrier] = value
        return value

    def add_weight(self, carrier: str, name: str, tensor: ir.TensorProtocol) -> None:
        """Make an initializer that stands for the parent's value `carrier`."""
        shape = ir.Shape(tensor.shape.numpy())
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape, const_value=tensor)
        self._values[carrier] = value
        self._initializers.append(value)

    def substitute(self, name: str, value: ir.Value) -> None:
        """Use `value` wherever the parent's value `name` is read."""
        self._values[name] = value

    def append(self, node: ir.Node, name: str) -> ir.Value:
        """Add a node that the parent does not have; return its first output, which is called `name`."""
        node.outputs[0].name = self._free(name)
        node.name = self._free_node_name(f"hx_{name}")
        self._nodes.append(node)
        return node.outputs[0]

    def add_output(self, carrier: str, name: str, kind: ir.TypeProtocol | None, shape: ir.Shape | None) -> None:
        """Make a graph output of the parent's value `carrier`, building all that it needs."""
        self.build(carrier)
        value = self._values[carrier]
        is_input = value.name == name and value in self._inputs  # one name is one value
        if not is_input and (value.producer() is None or value in self._outputs):
            value_out = self.append(ir.node("Identity", [value]), f"{name}.copy")
            value_out.type, value_out.shape = value.type, _copy(value.shape)
            value = value_out
        value.name = name
        if kind is not None:
            value.type, value.shape = kind, _copy(shape)
        self._outputs.append(value)

    def build(self, name: str) -> None:
        """Build a value and everything before it, up to inputs and substitutes. Explores without recursion.

        Raises:
            HxError: HX201 if the parent lacks a value, HX206 for what a loop carries.
        """
        pending = [name]
        while pending:
            current = pending.pop()
            if current in self._values:
                continue
            source = self._recovered.get(current) or self.parent.source(current)
            if source is None:
                self._weight(current)
            elif missing := [read for read in source.reads if read not in self._values]:
                pending += [current, *reversed(missing)]
            else:
                self._copy_node(source)

    def model(self) -> ir.Model:
        """Return the finished model, with the parent's opset imports and the functions it uses."""
        parent = self.parent.model
        graph = ir.Graph(
            self._inputs,
            self._outputs,
            nodes=self._nodes,
            initializers=self._initializers,
            opset_imports=dict(parent.opset_imports),
            name="main_graph",
        )
        used = called_functions(graph, parent.functions)
        return ir.Model(
            graph,
            ir_version=max(parent.ir_version, 4),  # before, every weight had to be an input too
            producer_name=parent.producer_name,
            producer_version=parent.producer_version,
            functions=[function.clone() for key, function in parent.functions.items() if key in used],
        )

    def value(self, carrier: str) -> ir.Value:
        """Return what stands here for a value of the parent; it must be built."""
        return self._values[carrier]

    def name_of(self, carrier: str) -> str | None:
        """Return what a value of the parent is called here; None where it is not here."""
        value = self._values.get(carrier)
        return None if value is None else value.name

    def origins(self) -> dict[str, str]:
        """Return the names of the values here with the names of the parent's values that they stand for."""
        return {str(value.name): carrier for carrier, value in self._values.items()}

    def _weight(self, name: str) -> None:
        if name in self.parent.carried:
            message = f"Value {name!r} is an input of a loop's body: it has another value in every round."
            raise UnavailableValue(message, hint="Give inputs of your own.")
        old = self.parent.value(name)
        value = ir.Value(name=self._free(name), type=old.type, shape=_copy(old.shape), const_value=old.const_value)
        self._values[name] = value
        self._initializers.append(value)

    def _copy_node(self, source: Source) -> None:
        if id(source) in self._built:
            return
        self._built.add(id(source))
        self.sources.append(source)
        node = source.node
        outputs: list[ir.Value] = []
        for name, old in zip(source.outputs, node.outputs, strict=True):
            value = ir.Value(name=self._free(name) if name else "", type=old.type, shape=_copy(old.shape))
            outputs.append(value)
            if name and name not in self._values:
                self._values[name] = value
            elif name:  # an input or substitute stands for it
                value.name = self._free(f"{name}.copy")
        inputs = [None if v is None or not v.name else self._values[v.name] for v in node.inputs]
        new = ir.Node(
            node.domain,
            node.op_type,
            inputs,
            [
                copied_attribute(attribute, lambda value: self._values[str(value.name)], self._finish_body)
                for attribute in node.attributes.values()
            ],
            overload=node.overload,
            outputs=outputs,
            version=node.version,
            name=self._free_node_name(node.name or f"hx_{source.key}"),
            metadata_props=dict(node.metadata_props),
        )
        self._nodes.append(new)
        self.copies[new] = node

    def _finish_body(self, copy: ir.Graph, body: ir.Graph) -> None:
        """Rename in the copy of a body what would shadow a port."""
        for value in [*values_in(copy)]:
            if value.name and value.name in self._taken:
                value.name = self._free(value.name)
        self.copies.update((node, old) for (_, node), (_, old) in zip(nodes_in(copy), nodes_in(body), strict=True))

    def _free_node_name(self, name: str) -> str:
        """ONNX Runtime refuses two nodes of one name."""
        while name in self._node_names:
            name = f"{name}.copy"
        self._node_names.add(name)
        return name

    def _free(self, name: str) -> str:
        while name in self._taken:
            name = f"{name}.inner"
        self._taken.add(name)
        return name


def _copy(shape: ir.Shape | None) -> ir.Shape | None:
    return None if shape is None else shape.copy()
