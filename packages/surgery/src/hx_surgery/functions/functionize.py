"""Module calls as model-local functions: one for every form, called as often as there are calls of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from hx_graph import NAMES, all_nodes, inline_functions, nested_graphs, nodes_in, operands, output_of, pack_names
from hx_sidecar_schema import Sidecar, graph_digest
from hx_surgery._reading import read_instead
from hx_surgery.functions.forms import FormFunction, Forms, copy_of
from hx_surgery.functions.regions import Regions

IR_VERSION = 10
"""From here on functions say the types of their values."""


@dataclass(frozen=True)
class Functionized:
    """A model with functions for module calls."""

    model: ir.Model
    sidecar: Sidecar
    """Of the model with its functions inlined, as `hx_graph.read_model` reads it."""
    functions: list[FormFunction]
    torn: list[int]
    """Rows of calls that are no functions: what they read depends on what they give."""


def functionize(model: ir.Model, sidecar: Sidecar, rows: Iterable[int], *, file: str) -> Functionized:
    """Make functions of module calls, nested as the calls are.

    Weights, and sizes that come from elsewhere, are inputs of functions, which have none of their own. Calls have one function
    if their modules are of one class, and their nodes have the same operators, attributes, types and edges.

    Args:
        model: The exported model; not changed.
        sidecar: Of it.
        rows: The calls. There is no function of the root, and none of a call without nodes.
        file: Name of the file that it will be.
    """
    copy = model.clone()
    writer = _Writer(copy, sidecar, {*rows} - {0})
    writer.collapse(copy.graph, 0)
    functions = writer.forms.functions
    for form in functions:
        copy.functions[form.function.identifier()] = form.function
        copy.opset_imports[form.function.domain] = 1
    copy.ir_version = max(copy.ir_version, IR_VERSION)
    for _, node in nodes_in(copy.graph):
        if (names := writer.forms.names.get(node)) is not None:
            node.metadata_props[NAMES] = pack_names(names)
    return Functionized(copy, _sidecar_of(copy, sidecar, file), functions, writer.torn)


def _sidecar_of(model: ir.Model, sidecar: Sidecar, file: str) -> Sidecar:
    """Return the sidecar with its rows in the order that nodes have once functions are inlined."""
    flat = model.clone()
    inline_functions(flat)
    rows = {row.key: row for row in sidecar.nodes}
    nodes = [rows[path, output_of(node)] for path, node in all_nodes(flat)]
    info: dict[str, object] = {
        "file": file,
        "graph_digest": graph_digest(flat),
        "ir_version": model.ir_version,
        # A file may import the domains of functions that it has no more: they are used again, and go with the functions.
        "opset_imports": dict(flat.opset_imports),
        "file_digest": "",
    }
    return sidecar.model_copy(update={"nodes": nodes, "model": sidecar.model.model_copy(update=info)})


class _Writer:
    def __init__(self, model: ir.Model, sidecar: Sidecar, rows: Collection[int]) -> None:
        self._sidecar, self._rows = sidecar, rows
        owners = {row.key: row.owner for row in sidecar.nodes}
        self._owners = {node: owners[path, output_of(node)] for path, node in nodes_in(model.graph)}
        self.forms = Forms(sidecar, dict(model.opset_imports))
        self.torn: list[int] = []

    def collapse(self, graph: ir.Graph, base: int) -> None:
        """Put nodes that call functions in the place of the calls in a graph, which is of the call `base`."""
        nodes = list(graph)
        owners = {node: self._owners[node] for node in nodes}
        regions = Regions(owners, graph.outputs, self._sidecar, self._rows, base)
        self.torn += regions.torn
        for node in nodes:
            for _, body in nested_graphs(node):
                self.collapse(body, regions.place[node])
        readers: dict[ir.Value, set[ir.Node]] = {}
        members: dict[int, list[ir.Node]] = {base: []}
        for node in nodes:
            members.setdefault(regions.place[node], []).append(node)
            for value in operands(node):
                if value is not None:
                    readers.setdefault(value, set()).add(node)
        position = {node: number for number, node in enumerate(nodes)}
        graph.remove(nodes)
        while (inner := max(members)) != base:  # calls below another have later rows
            inside = _in_order(sorted(members.pop(inner), key=position.__getitem__))
            around = members.setdefault(regions.around(inner), [])
            made = [out for node in inside for out in node.outputs]
            given = [out for out in made if out in graph.outputs or not readers.get(out, set()) <= {*inside}]
            if not given:
                around += inside
                continue
            outside = {out: readers.pop(out, set()) - {*inside} for out in given}
            others = {out: copy_of(out) for out in given}
            for index, out in enumerate(graph.outputs):
                graph.outputs[index] = others.get(out, out)
            call = self.forms.call(inner, inside, others)
            position[call] = max(map(position.__getitem__, inside))
            around.append(call)
            for value in call.inputs:
                if value is not None:
                    readers[value] = readers[value] - {*inside} | {call}
            readers |= {others[out]: nodes for out, nodes in outside.items()}
            for reader in {node: None for nodes in outside.values() for node in nodes}:
                read_instead(reader, others)
        graph.extend(sorted(members[base], key=position.__getitem__))
        graph.sort()


def _in_order(nodes: Sequence[ir.Node]) -> list[ir.Node]:
    """Return nodes of no graph in topological order: what stands for a call comes after all that the call's nodes read."""
    graph = ir.Graph([], [], nodes=nodes)
    graph.sort()
    ordered = list(graph)
    graph.remove(ordered)
    return ordered
