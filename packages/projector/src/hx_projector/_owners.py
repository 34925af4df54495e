"""Which call owns each node, and how that is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import onnx_ir as ir

from hx_projector._graphs import nodes_below, output_of, reads
from hx_projector._tree import CallTree
from hx_sidecar_schema import Confidence, Evidence, ModuleContext


class Owned(NamedTuple):
    """A node with its owner."""

    graph: str
    output: str
    node: ir.Node
    owner: int
    evidence: Evidence
    confidence: Confidence
    fallback: bool = False
    """Nothing is known: the root stands in, and the node does not count as covered."""


def own_nodes(model: ir.Model, context: ModuleContext, tree: CallTree) -> list[Owned]:
    """Return every node of the model with its owner, in graph order, nested graphs after their node.

    The exporter's own record comes first. Where it is silent, a weight that only one module owns decides, then the
    dataflow: a node enclosed by one call, or a helper whose consumers lie in one call.
    """
    nodes = list(model.graph)
    known: dict[str, tuple[int, Evidence, Confidence]] = {}
    silent: list[ir.Node] = []
    keys = [output_of(node) for node in nodes]
    for node, key in zip(nodes, keys, strict=True):
        rows = context.origins.get(key)
        if rows:
            known[key] = (rows[0] if len(rows) == 1 else tree.common(rows), "exporter", "high")
        else:
            silent.append(node)
    if silent:
        _from_parameters(silent, context, known)
        _from_dataflow(nodes, silent, tree, known)

    owned: list[Owned] = []
    for node, key in zip(nodes, keys, strict=True):
        owner, evidence, confidence = known.get(key, (0, "dataflow", "low"))
        owned.append(Owned("", key, node, owner, evidence, confidence, fallback=key not in known))
        if node.attributes:
            # What is not known of the bodies of a control-flow node ran inside the call that ran the node; where
            # that module has children, one of them may have run there unseen.
            if context.modules[context.calls[owner].module].children and evidence == "exporter":
                evidence, confidence = "dataflow", "medium"
            fallback = key not in known
            for path, inner in nodes_below(node, ""):
                output = output_of(inner)
                rows = context.origins.get(output)
                if rows:
                    owned.append(Owned(path, output, inner, tree.common(rows), "exporter", "high"))
                else:
                    owned.append(Owned(path, output, inner, owner, evidence, confidence, fallback))
    return owned + _functions(model, owned, tree)


def _functions(model: ir.Model, owned: Sequence[Owned], tree: CallTree) -> list[Owned]:
    """Nodes of model-local functions belong to the calls that use the function."""
    if not model.functions:
        return []
    callers: dict[tuple[str, str, str], list[int]] = {}
    for row in owned:
        callers.setdefault((row.node.domain, row.node.op_type, row.node.overload), []).append(row.owner)
    result: list[Owned] = []
    users: dict[tuple[str, str, str], set[tuple[str, str, str]]] = {}
    for key, function in model.functions.items():
        for node in ir.traversal.RecursiveGraphIterator(function):
            users.setdefault(node.op_identifier(), set()).add(key)
    for key, function in model.functions.items():
        path = "::".join(part for part in key if part)
        rows = _callers(key, callers, users)
        owner = tree.common(rows) if rows else 0
        confidence: Confidence = "medium" if len(set(rows)) == 1 else "low"
        for node in function:
            result.append(
                Owned(path, output_of(node), node, owner, "dataflow", confidence, fallback=not rows)
            )
            result += [
                Owned(inner_path, output_of(inner), inner, owner, "dataflow", confidence, fallback=not rows)
                for inner_path, inner in nodes_below(node, path)
            ]
    return result


def _callers(
    key: tuple[str, str, str],
    callers: Mapping[tuple[str, str, str], list[int]],
    users: Mapping[tuple[str, str, str], set[tuple[str, str, str]]],
) -> list[int]:
    """Rows of the calls that use a function, through other functions included."""
    rows: list[int] = []
    pending, seen = [key], {key}
    while pending:
        current = pending.pop()
        rows += callers.get(current, [])
        further = users.get(current, set()) - seen
        seen |= further
        pending += further
    return rows


def _from_parameters(
    nodes: Iterable[ir.Node],
    context: ModuleContext,
    known: dict[str, tuple[int, Evidence, Confidence]],
) -> None:
    rows = {module.fqn: row for row, module in enumerate(context.modules)}
    calls: dict[int, list[int]] = {}
    for row, call in enumerate(context.calls):
        calls.setdefault(call.module, []).append(row)
    parameter = {row.name: row.parameter for row in context.initializers if row.parameter}
    for node in nodes:
        owners: set[int] = set()
        for name in reads(node):
            if name in parameter:
                module = rows.get(str(parameter[name]).rpartition(".")[0])
                owners.update(calls.get(module, ()) if module is not None else ())
        if len(owners) == 1:
            known[output_of(node)] = (owners.pop(), "parameter", "medium")


def _from_dataflow(
    nodes: Sequence[ir.Node],
    silent: Sequence[ir.Node],
    tree: CallTree,
    known: dict[str, tuple[int, Evidence, Confidence]],
) -> None:
    producer = {out.name: output_of(node) for node in nodes for out in node.outputs if out.name}
    users: dict[str, list[str]] = {}
    for node in nodes:
        for name in reads(node):
            users.setdefault(name, []).append(output_of(node))

    def propose(neighbours: Iterable[str], key: str) -> None:
        rows = {known[other][0] for other in neighbours if other in known}
        if rows:
            known[key] = (tree.common(rows), "dataflow", "medium" if len(rows) == 1 else "low")

    for node in reversed(silent):  # a helper belongs to what it helps
        if output_of(node) not in known:
            propose((user for out in node.outputs for user in users.get(out.name or "", ())), output_of(node))
    for node in silent:
        if output_of(node) not in known:
            propose((producer[name] for name in reads(node) if name in producer), output_of(node))
    for node in silent:  # the root hands out one of its own arguments, and exporters copy it for that
        source, out = node.inputs[0] if node.inputs else None, node.outputs[0]
        if node.op_type == "Identity" and source and source.is_graph_input() and out.is_graph_output():
            known.setdefault(output_of(node), (0, "dataflow", "medium"))


def consumers(owned: Sequence[Owned], tree: CallTree) -> list[list[int]]:
    """Return, for every node, the calls outside its owner's subtree that read its outputs, bodies included."""
    readers: dict[int, set[int]] = {}
    for row in owned:
        for value in row.node.inputs:
            if value is not None:
                readers.setdefault(id(value), set()).add(row.owner)
    found: list[list[int]] = []
    for row in owned:
        rows: set[int] = set()
        for out in row.node.outputs:
            rows |= readers.get(id(out), _NOBODY)
        end = tree.end[row.owner]
        found.append(sorted(other for other in rows if not row.owner <= other < end))
    return found


_NOBODY: frozenset[int] = frozenset()
