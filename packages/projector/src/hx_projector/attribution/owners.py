"""Which call owns each node, and how that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx_ir as ir

from hx_graph import CallTree, function_path, in_order, nodes_below, nodes_in, output_of
from hx_projector.attribution.sources import Claim, Claims, Scene, find_source
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
    originals: Sequence[str] = ()
    covers: Sequence[int] = ()


class Disagreed(NamedTuple):
    """A node that two sources give to different calls; the stronger one decided."""

    output: str
    evidence: Evidence
    owner: int
    against: Evidence
    other: int


def own_nodes(
    model: ir.Model,
    context: ModuleContext,
    tree: CallTree,
    sources: Sequence[str] = ("exporter", "parameter", "dataflow"),
    witnessed: Claims | None = None,
) -> tuple[list[Owned], list[Disagreed]]:
    """Return every node of the model with its owner, in graph order, nested graphs after their node.

    Args:
        model: It.
        context: What the tracer saw.
        tree: Its calls.
        sources: Names of sources of evidence, the strongest first.
        witnessed: Claims of the witness, where a run was observed.
    """
    nodes, ordered = list(model.graph), in_order(model.graph)
    keys = [output_of(node) for node in nodes]
    claims: dict[str, Claim] = {}
    evidence_of: dict[str, Evidence] = {}
    disagreed: list[Disagreed] = []
    for name in sources:
        found = find_source(name)(Scene(ordered, context, tree, claims, witnessed or {}))
        for key, claim in found.items():
            if key not in claims:
                claims[key], evidence_of[key] = claim, name
            elif claims[key].owner != claim.owner:
                disagreed.append(Disagreed(key, evidence_of[key], claims[key].owner, name, claim.owner))

    owned: list[Owned] = []
    for node, key in zip(nodes, keys, strict=True):
        owner, confidence = claims.get(key, _ROOT)
        evidence = evidence_of.get(key, "dataflow")
        owned.append(Owned("", key, node, owner, evidence, confidence, fallback=key not in claims))
        if node.attributes:
            # What is not known of the bodies of a control-flow node ran inside the call that ran the node; where
            # that module has children, one of them may have run there unseen.
            if context.modules[context.calls[owner].module].children and confidence == "high":
                evidence, confidence = "dataflow", "medium"
            fallback = key not in claims
            for path, inner in nodes_below(node):
                output = output_of(inner)
                rows = context.origins.get(output)
                if rows:
                    owned.append(Owned(path, output, inner, tree.common(rows), "exporter", "high"))
                else:
                    owned.append(Owned(path, output, inner, owner, evidence, confidence, fallback))
    return owned + in_functions(model, owned, tree), disagreed


_ROOT = Claim(0, "low")


def in_functions(model: ir.Model, owned: Sequence[Owned], tree: CallTree) -> list[Owned]:
    """Nodes of model-local functions belong to the calls that use the function."""
    if not model.functions:
        return []
    callers: dict[tuple[str, str, str], list[int]] = {}
    for row in owned:
        callers.setdefault((row.node.domain, row.node.op_type, row.node.overload), []).append(row.owner)
    result: list[Owned] = []
    users: dict[tuple[str, str, str], set[tuple[str, str, str]]] = {}
    for key, function in model.functions.items():
        for _, node in nodes_in(function):
            users.setdefault(node.op_identifier(), set()).add(key)
    for key, function in model.functions.items():
        rows = _callers(key, callers, users)
        owner = tree.common(rows) if rows else 0
        confidence: Confidence = "medium" if len(set(rows)) == 1 else "low"
        result += [
            Owned(path, output_of(node), node, owner, "dataflow", confidence, fallback=not rows)
            for path, node in nodes_in(function, function_path(key))
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
