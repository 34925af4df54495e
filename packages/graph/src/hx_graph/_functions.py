"""Model-local functions that stand for module calls, and the graph without them.

A function is shared by all calls of one form, so names inside it are of one of them. The node that calls it from outside of all
such functions keeps the names that its own nodes and values have once it is inlined.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import count

import onnx_ir as ir

from hx_graph._nested import bodies_in, function_path, nested_graphs, nodes_in, values_in

DOMAIN = "pkg.hx."
"""How domains of such functions begin; the class of the module follows."""
NAMES = "pkg.hx.names"
"""Key in the metadata of a node that calls one: see `pack_names`."""
INLINED = "pkg.hx.inlined"
"""Key in `meta` of nodes and values that were inside a function: its name, a number of the call, and their name in it."""
Functions = Mapping[ir.OperatorIdentifier, ir.Function]


def named_objects(nodes: Iterable[ir.Node]) -> Iterator[ir.Node | ir.Value]:
    """Yield nodes, their outputs, and all that their bodies hold, in an order that depends on the structure alone."""
    for node in nodes:
        yield node
        yield from node.outputs
        for _, body in nested_graphs(node) if node.attributes else ():
            yield from (*body.inputs, *body.initializers.values())
            yield from named_objects(body)


def pack_names(names: Iterable[str | None]) -> str:
    """Return the names of `named_objects` as text: base64 of a compressed list in JSON."""
    return base64.b64encode(zlib.compress(json.dumps(list(names)).encode(), 9)).decode()


def inline_functions(model: ir.Model) -> None:
    """Put the nodes of functions of module calls in the place of the nodes that call them.

    Nodes and values get the names that they had; where a tool lost or took these, names that are free. `INLINED` in `Model.meta` is
    how many functions there were.

    Raises:
        ValueError: If a function calls itself, or is called with more inputs or outputs than it has.
    """
    functions = {key: f for key, f in model.functions.items() if key[0].startswith(DOMAIN) and not f.attributes}
    if not functions:
        return
    model.meta[INLINED] = len(functions)
    inlined = _Inlined(model, functions)
    for graph in (model.graph, *(f for key, f in model.functions.items() if key not in functions)):
        inlined.in_graph(graph)
    for key in functions:
        del model.functions[key]
    for holder in (model, *model.functions.values()):
        for domain in {domain for domain, _, _ in functions}:
            holder.opset_imports.pop(domain, None)


class _Inlined:
    def __init__(self, model: ir.Model, functions: Functions) -> None:
        self._functions = functions
        self._count = count()
        self._taken = {
            ir.Value: {value.name for value in values_in(model.graph) if value.name},
            ir.Node: {node.name for _, node in nodes_in(model.graph) if node.name},
        }

    def in_graph(self, graph: ir.Graph | ir.Function, *, named: bool = True) -> None:
        """Inline calls in a graph and its bodies; without `named`, who inlines around it gives names."""
        for node in list(graph):
            if node.op_identifier() not in self._functions:
                for _, body in nested_graphs(node):
                    self.in_graph(body, named=named)
                continue
            ends = {f"\0{index}": out.name for index, out in enumerate(node.outputs)}
            for marker, out in zip(ends, node.outputs, strict=True):
                out.name = marker
            nodes = self._nodes_of(node)
            graph.insert_before(node, nodes)
            graph.remove(node, safe=True)
            for inner in nodes:
                for _, body in nested_graphs(inner):
                    self.in_graph(body, named=False)
            if named:
                self._name(node, nodes, ends)
            else:
                for value in (out for inner in nodes for out in inner.outputs):
                    value.name = ends.get(value.name or "", value.name)

    def _nodes_of(self, call: ir.Node) -> list[ir.Node]:
        """Return the nodes that stand for a call, of functions within functions too; what read the call reads them."""
        nodes: list[ir.Node] = []
        pending, called = [iter([call])], list[ir.OperatorIdentifier]()
        while pending:
            node = next(pending[-1], None)
            if node is None:
                pending.pop()
                called = called[:-1]
                continue
            key = node.op_identifier()
            if key in called:
                raise ValueError(f"function {function_path(key)!r} calls itself")
            if key in self._functions:
                called.append(key)
                pending.append(iter(_instance(self._functions[key], node, next(self._count))))
            else:
                nodes.append(node)
        return nodes

    def _name(self, call: ir.Node, nodes: list[ir.Node], ends: Mapping[str, str | None]) -> None:
        """Give nodes and values the names that the call keeps for them, or free ones; its outputs those in `ends`."""
        objects = list(named_objects(nodes))
        kept = _unpacked(call.metadata_props.get(NAMES))
        # Nodes may share names, as exporters give them in bodies.
        values = (
            name for one, name in zip(objects, kept, strict=False) if isinstance(one, ir.Value) and one.name not in ends
        )
        if len(kept) != len(objects) or any(name and name in self._taken[ir.Value] for name in values):
            kept = [self._free(one, call.name or call.op_type) for one in objects]
        for one, name in zip(objects, kept, strict=True):
            one.name = ends.get(one.name or "", name)
            self._taken[type(one)].add(one.name or "")

    def _free(self, one: ir.Node | ir.Value, prefix: str) -> str | None:
        taken, name = self._taken[type(one)], one.name
        while name and name in taken:
            name = f"{prefix}/{name}"
        taken.add(name or "")
        return name


def _instance(function: ir.Function, call: ir.Node, number: int) -> list[ir.Node]:
    """Return copies of a function's nodes that read what a call reads; what read the call reads them."""
    copy = function.graph.clone()
    nodes, made = list(copy), list(copy.outputs)
    if len(call.inputs) > len(copy.inputs) or len(call.outputs) > len(made):
        raise ValueError(f"node {call.name!r} calls function {function.name!r} with more than it takes or gives")
    if any(value.producer() is None for value in made):
        raise ValueError(f"function {function.name!r} hands an argument on")
    actual = dict(zip(copy.inputs, [*call.inputs, *[None] * len(copy.inputs)], strict=False))
    for formal, value in actual.items():
        for user, place in list(formal.uses()):
            user.replace_input_with(place, value)
    for body in bodies_in(copy):
        for index, out in enumerate(body.outputs):
            if (value := actual.get(out)) is not None:
                body.outputs[index] = value
    copy.outputs.clear()
    copy.remove(nodes)
    for one in (one for node in nodes for one in (node, *node.outputs)):
        one.meta[INLINED] = (function.name, number, one.name)
    for old, new in zip(call.outputs, made, strict=False):
        new.meta[INLINED] = old.meta.get(INLINED)
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        new.name, new.type, new.shape = old.name, old.type or new.type, old.shape or new.shape
    return nodes


def _unpacked(text: str | None) -> list[str]:
    try:
        return json.loads(zlib.decompress(base64.b64decode(text or "")))
    except (ValueError, zlib.error):  # a tool cut it, or wrote none
        return []
