"""A text of a graph that is the same whatever its nodes and values are called and in whatever order nodes stand.

Operands and outputs have positions, so two graphs can be matched in one way only, from the outputs backwards. Numbering
nodes in the order of that walk gives a canonical form, in time linear in the number of nodes. Nodes that lead to no output
have no such order: they are written as a sorted list of digests.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from hx_graph import captures, inputs_of, nested_graphs, nodes_in, operands
from hx_projector.comparison.signature import operator_of, outputs_of, plain_attributes, type_of
from hx_projector.comparison.walk import walk_order

Graph = ir.Graph | ir.Function
TypeOf = Callable[[ir.Value], str]
ConstantOf = Callable[[ir.Value], str | None]
"""Says what a value is that a model holds, None for one that is computed."""


def structural_digest(model: ir.Model) -> str:
    """Return a SHA-256 over a model's topology, as hex.

    Equal for two models exactly if one becomes the other by renaming nodes, values and weights, reordering nodes, and
    changing the contents of weights and metadata. Operators, attributes (constants included) that are not at their
    default, edges with their positions, nested graphs, functions, the opsets of operators, and the types of inputs, outputs
    and weights count. So do nodes whose
    results nobody uses; among those, ones that differ only in which of two alike results they use may be taken for
    equal.
    """
    return topology_digest(model, type_of)


def topology_digest(model: ir.Model, kind: TypeOf, constant: ConstantOf | None = None) -> str:
    """Return a SHA-256 over a model's topology, as hex, in which inputs, weights and outputs are what `kind` says of them.

    With `constant`, a value that it knows counts as what that says of it, whatever holds it and who else reads it.
    """
    parts = [opsets_of(model), _CanonicalForm({}, model.graph.opset_imports, kind, constant).of(model.graph)]
    parts += [f"{key}:{function_form(model.functions[key])}" for key in sorted(model.functions)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def opsets_of(holder: ir.Model | ir.Function) -> str:
    """Return the opset imports that nodes use, in words; ONNX's own domain under one name."""
    graph = holder.graph if isinstance(holder, ir.Model) else holder
    used = {node.domain for _, node in nodes_in(graph)}
    versions = {domain or "ai.onnx": version for domain, version in holder.opset_imports.items() if domain in used}
    return ", ".join(f"{domain} {version}" for domain, version in sorted(versions.items()))


def function_form(function: ir.Function) -> str:
    """Return the canonical form of a function, with its attributes and their defaults."""
    return f"{opsets_of(function)};{plain_attributes(function)}{canonical_form(function)}"


def canonical_form(graph: Graph, known: Sequence[ir.Value] = (), opsets: Mapping[str, int] | None = None) -> str:
    """Return the canonical form of a graph, with the bodies in it.

    Known are values from outside that it may read, in an order that both graphs have them in. The opsets are, of a body,
    those of the graph around it.
    """
    names = {id(value): f"c{index}" for index, value in enumerate(known)}
    return _CanonicalForm(names, opsets or graph.opset_imports).of(graph)


def first_differing_nodes(left: ir.Graph, right: ir.Graph) -> tuple[ir.Node, ir.Node] | None:
    """Return the first two nodes that differ, in the order of the walk from the outputs; None where there are none in both."""
    rows: list[list[tuple[str, ir.Node]]] = []
    for graph in (left, right):
        form = _CanonicalForm({}, graph.opset_imports)
        form.of(graph)
        rows.append([(line, node) for line, node in form.lines if node.graph is graph])
    return next(((one, two) for (a, one), (b, two) in zip(*rows, strict=False) if a != b), None)


class _CanonicalForm:
    """Canonical names of the values of a graph and of the bodies in it."""

    def __init__(
        self,
        names: dict[int, str],
        opsets: Mapping[str, int],
        kind: TypeOf = type_of,
        constant: ConstantOf | None = None,
    ) -> None:
        self._opsets, self._kind, self._constant = opsets, kind, constant
        self._names = names
        """By the identity of a value; given are those from outside."""
        self._count = 0
        self.lines: list[tuple[str, ir.Node]] = []
        """What was written of each node, in the order of the walk."""

    def of(self, graph: Graph) -> str:
        """Return the canonical form of a graph."""
        for value in graph.inputs:
            self._names[id(value)] = self._number("i", f":{self._kind(value)}")
        lines = self._walk(graph.outputs)
        outputs = [f"{self._name(value)}:{self._kind(value)}" for value in graph.outputs]
        inputs = [self._kind(value) for value in graph.inputs]
        unused = self._unused(graph)
        return "\n".join(["(", *inputs, "->", *lines, "=>", *outputs, "dead", *unused, ")"])

    def _walk(self, roots: Sequence[ir.Value]) -> list[str]:
        """Name all values that some come from, and write their nodes, without recursion over nodes."""
        names = self._names
        lines: list[str] = []
        begun: set[int] = set()
        pending: list[tuple[ir.Value, list[ir.Value | None] | None]] = [(value, None) for value in reversed(roots)]
        while pending:
            value, read = pending.pop()
            if id(value) in names:
                continue
            node = value.producer()
            if self._constant is not None and (text := self._constant(value)) is not None:
                names[id(value)] = text
            elif node is None:
                names[id(value)] = self._number("w", f":{self._kind(value)}")
            elif read is not None:
                lines.append(self._line(node))
                self.lines.append((lines[-1], node))
            elif id(node) in begun:
                names[id(value)] = "cycle"  # which no valid graph has
            else:
                begun.add(id(node))
                read = operands(node)
                pending.append((value, read))
                pending += [(source, None) for source in reversed(read) if source is not None]
        return lines

    def _line(self, node: ir.Node) -> str:
        name = self._number("n")
        inputs = ", ".join([self._name(value) for value in inputs_of(node)])
        text = f"{name}={operator_of(node)}({inputs})"
        if node.attributes:
            bodies = {attribute: self.of(graph) for attribute, graph in nested_graphs(node)}
            text += f"{plain_attributes(node, self._opsets)}{bodies or ''}"
        self._names.update((id(out), f"{name}.{index}") for index, out in enumerate(node.outputs))
        return f"{text}->{outputs_of(node)}"

    def _unused(self, graph: Graph) -> list[str]:
        """Return the sorted digests of nodes that lead to no output, made of their operands' digests: order is no matter."""
        names = self._names
        if all(id(out) in names for node in graph for out in node.outputs):
            return []
        own: dict[int, str] = {}
        forms: list[tuple[str, ir.Node]] = []

        def digest_of(value: ir.Value | None) -> str:
            if value is None:
                return ""
            return own.get(id(value)) or names.get(id(value)) or f"w:{self._kind(value)}"

        for node in walk_order(graph):
            if all(id(out) in names for out in node.outputs):
                continue
            inputs = ", ".join(map(digest_of, inputs_of(node)))
            bodies = {
                name: _CanonicalForm(
                    {id(value): digest_of(value) for value in captures(body)}, self._opsets, self._kind, self._constant
                ).of(body)
                for name, body in nested_graphs(node)
            }
            attributes = f"{plain_attributes(node, self._opsets)}{bodies or ''}"
            text = f"{operator_of(node)}({inputs}){attributes}->{outputs_of(node)}"
            digest = hashlib.sha256(text.encode()).hexdigest()
            own |= {id(out): f"{digest}.{index}" for index, out in enumerate(node.outputs)}
            forms.append((digest, node))
        forms.sort(key=lambda form: form[0])
        self.lines += forms
        return [digest for digest, _ in forms]

    def _name(self, value: ir.Value | None) -> str:
        return "" if value is None else self._names[id(value)]

    def _number(self, kind: str, suffix: str = "") -> str:
        self._count += 1
        return f"{kind}{self._count}{suffix}"
