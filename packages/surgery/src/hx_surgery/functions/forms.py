"""Functions for calls: one for each class of module and form of its nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from hx_graph import DOMAIN, named_objects, nested_graphs, operands
from hx_projector import operator_of, plain_attributes
from hx_sidecar_schema import Sidecar, simple_name
from hx_surgery._reading import read_instead, read_nothing


@dataclass
class FormFunction:
    """A function, and the calls that it stands for."""

    function: ir.Function
    nodes: Sequence[ir.Node]
    """In the order of `Forms.call`."""
    calls: list[int] = field(default_factory=list[int])
    """Rows of the calls."""


class Forms:
    """The functions of a model.

    Args:
        sidecar: Of the model.
        opsets: Opset imports of the model.
    """

    def __init__(self, sidecar: Sidecar, opsets: Mapping[str, int]) -> None:
        """Begin without functions."""
        self._sidecar, self._opsets = sidecar, opsets
        self._parameters = {row.name: row.parameter for row in sidecar.initializers if row.parameter}
        self._found: dict[tuple[str, str], FormFunction] = {}
        self._counts: dict[str, int] = {}
        self.names: dict[ir.Node, list[str | None]] = {}
        """Nodes that call functions, with the names of all that they stand for, in the order of `named_objects`."""

    @property
    def functions(self) -> list[FormFunction]:
        """All functions, those that others call before them."""
        return list(self._found.values())

    def call(self, row: int, nodes: Sequence[ir.Node], outputs: Mapping[ir.Value, ir.Value]) -> ir.Node:
        """Return a node that stands for the nodes of a call, which are in no graph.

        Args:
            row: Of the call.
            nodes: In topological order. The first ones of a form become those of its function.
            outputs: Values that they make and others read, with the node's outputs in their place.
        """
        call = self._sidecar.calls[row]
        inside = {out for node in nodes for out in node.outputs}
        read = dict.fromkeys(value for node in nodes for value in operands(node) if value is not None)
        ports = [port.carrier for port in call.inputs if not port.implicit]
        rank = {name: number for number, name in reversed(list(enumerate(ports)))}
        taken = sorted((value for value in read if value not in inside), key=lambda v: rank.get(str(v.name), len(rank)))
        names = [name for node in nodes for name in self._names_of(node)]
        class_name = self._sidecar.module_of(call).class_name
        key = (class_name, _form_of(nodes, taken, list(outputs)))
        form = self._found.get(key)
        if form is None:
            form = self._found[key] = FormFunction(self._function(row, nodes, taken, list(outputs)), nodes)
        else:
            _keep_common_metadata(form.nodes, nodes)
            read_nothing(nodes)
        form.calls.append(row)
        module = self._sidecar.module_of(call)
        name = f"{module.fqn}@{call.index}" if call.index else module.fqn
        node = ir.Node(form.function.domain, form.function.name, taken, outputs=list(outputs.values()), name=name)
        self.names[node] = names
        return node

    def _names_of(self, node: ir.Node) -> Iterator[str | None]:
        if node in self.names:
            yield from self.names[node]
            return
        yield node.name
        yield from (out.name for out in node.outputs)
        for _, body in nested_graphs(node):
            yield from (value.name for value in (*body.inputs, *body.initializers.values()))
            for inner in body:
                yield from self._names_of(inner)

    def _function(
        self, row: int, nodes: Sequence[ir.Node], taken: Sequence[ir.Value], given: Sequence[ir.Value]
    ) -> ir.Function:
        names = _FreeNames(one.name for one in named_objects(nodes) if isinstance(one, ir.Value))
        call = self._sidecar.calls[row]
        module = self._sidecar.module_of(call)
        formal: dict[ir.Value, ir.Value] = {}
        for value in taken:
            name = names.free(self._argument(str(value.name), row))
            formal[value] = copy_of(value, name)
        for node in nodes:
            read_instead(node, formal)
        ports = {port.carrier: port.name for port in reversed(call.outputs)}
        for value in given:
            if (port := ports.get(str(value.name))) is not None:
                value.name = names.free(port)
        domains = {"", *(inner.domain for inner in _all(nodes))}
        simple = simple_name(module.class_name)
        domain = f"{DOMAIN}{module.class_name}"
        number = self._counts[domain] = self._counts.get(domain, 0) + 1
        graph = ir.Graph(
            list(formal.values()),
            list(given),
            nodes=nodes,
            opset_imports={name: self._opsets.get(name, 1) for name in domains},
            name=simple,
        )
        return ir.Function(domain, simple if number == 1 else f"{simple}_{number}", graph=graph, attributes=[])

    def _argument(self, value: str, row: int) -> str:
        """Return what `forward()` calls a value that a call reads; of a weight the parameter's name within the module."""
        call = self._sidecar.calls[row]
        ports = (port.name for port in call.inputs if port.carrier == value and not port.implicit)
        if (port := next(ports, None)) is not None:
            return port
        fqn, parameter = self._sidecar.module_of(call).fqn, self._parameters.get(value, value)
        return parameter.removeprefix(f"{fqn}.") if fqn else parameter


class _FreeNames:
    def __init__(self, taken: Iterator[str | None]) -> None:
        self._taken = {*taken}

    def free(self, name: str) -> str:
        """Return a name that nothing has yet."""
        candidate, number = name, 1
        while candidate in self._taken:
            number += 1
            candidate = f"{name}_{number}"
        self._taken.add(candidate)
        return candidate


def copy_of(value: ir.Value, name: str | None = None) -> ir.Value:
    """Return a value of the same type, and of the same name where none is given."""
    return ir.Value(name=name or value.name, type=value.type, shape=value.shape and value.shape.copy())


def _all(nodes: Sequence[ir.Node]) -> Iterator[ir.Node]:
    return (one for one in named_objects(nodes) if isinstance(one, ir.Node))


def _form_of(nodes: Sequence[ir.Node], taken: Sequence[ir.Value], given: Sequence[ir.Value]) -> str:
    """Return a text that is equal exactly for nodes of equal operators, attributes, types and edges, in one order."""
    numbers: dict[ir.Value | None, int] = {None: -1}
    lines = [_typed(value, numbers) for value in taken]

    def add(nodes: Sequence[ir.Node] | ir.Graph) -> None:
        for node in nodes:
            reads = [numbers[value] for value in node.inputs]
            lines.append(f"{operator_of(node)}{reads}{plain_attributes(node)}")
            for name, body in nested_graphs(node):
                lines.append(name)
                lines.extend(_typed(value, numbers) for value in (*body.inputs, *body.initializers.values()))
                lines.extend(
                    repr(value.const_value.tobytes()) for value in body.initializers.values() if value.const_value
                )
                add(body)
                lines.append(str([numbers[value] for value in body.outputs]))
            lines.extend(_typed(value, numbers) for value in node.outputs)

    add(nodes)
    return "\n".join([*lines, str([numbers[value] for value in given])])


def _typed(value: ir.Value, numbers: dict[ir.Value | None, int]) -> str:
    numbers[value] = len(numbers)
    return f"{bool(value.name)} {value.type} {value.shape}"


def _keep_common_metadata(kept: Sequence[ir.Node], others: Sequence[ir.Node]) -> None:
    """Leave what is said alike of the nodes of all calls: a function's metadata is of all of them."""
    for one, other in zip(named_objects(kept), named_objects(others), strict=True):
        for key in [key for key, text in one.metadata_props.items() if other.metadata_props.get(key) != text]:
            del one.metadata_props[key]
        one.doc_string = one.doc_string if one.doc_string == other.doc_string else None
