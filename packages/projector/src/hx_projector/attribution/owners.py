"""The engine of attribution: claims of several sources of evidence become one owner for each node.

Sources are asked in order, the strongest first, and the first claim about a node counts; later claims of another call are
listed as disagreements. A node that none claims is left to the root, and is not known.

Sources see the main graph alone. A node of a body belongs to the call that ran the control-flow node around it, unless
the exporter, the file or a weight that it reads names another one. A node of a function belongs to the calls that use the function.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir

from hx_graph import CallTree, bodies_in, function_path, nodes_below, nodes_in, output_of
from hx_projector._claims import AttributionInput, Claim, Claims
from hx_projector._graph_index import GraphIndex, grouped, reachable
from hx_projector.attribution.sources import calls_of_weights, find_source
from hx_sidecar_schema import Disagreement, Evidence, ModuleContext, Node, lean, node_name

OwnedNodes = dict[ir.Node, Node]
"""Nodes with their rows, which lack consumers: in the order of the file, those of bodies after the node around them."""
Attribution = tuple[OwnedNodes, list[Disagreement]]
"""All nodes of a model, and the claims that did not count."""


def node_row(path: str, node: ir.Node, evidence: Evidence, **owner: Any) -> Node:
    """Return the row of a node in the graph of a path, given the fields that say whose it is."""
    name, output = node.name or "", output_of(node)
    return lean(Node(graph=path, output=output, name=name, op_type=node.op_type, evidence=evidence, **owner))


def attribute_nodes(
    model: ir.Model, graph: GraphIndex, context: ModuleContext, tree: CallTree, sources: Sequence[str], witness: Claims
) -> Attribution:
    """Ask sources of evidence, the strongest first; HX122 is raised if there is none of a name."""
    claims: dict[str, Claim] = {}
    evidence_of: dict[str, Evidence] = {}
    disagreements: list[Disagreement] = []
    for name in sources:
        found = find_source(name)(AttributionInput(graph, context, tree, claims, witness))
        for key, claim in found.items():
            first = claims.setdefault(key, claim)
            evidence = evidence_of.setdefault(key, name)
            merged = context.origins.get(key, ()) if evidence == "exporter" else ()  # each of them is right
            if claim.owner not in (first.owner, *merged):
                disagreements.append(
                    Disagreement(output=key, evidence=evidence, owner=first.owner, against=name, other=claim.owner)
                )

    inner = [name for body in bodies_in(model.graph) for name in body.initializers]
    weights = calls_of_weights(context, inner) if "parameter" in sources else {}
    owned: OwnedNodes = {}
    moved: dict[str, int] = {}
    for node in model.graph:
        key = output_of(node)
        claim = claims.get(key, Claim(0, "low"))
        row = node_row("", node, evidence_of.get(key, "dataflow"), **claim._asdict(), known=key in claims)
        inside = _body_nodes(node, row, context, tree, weights) if node.attributes else {}
        around = tree.common([row.owner, *(other.owner for other in inside.values())])
        if around != row.owner:  # what ran in a body ran inside the call that ran the node with the body
            row = row.model_copy(update={"owner": around, "confidence": "medium"})
            moved[key] = around
            inside = _body_nodes(node, row, context, tree, weights)
        owned |= {node: row} | inside
    if moved:
        decided = (row.model_copy(update={"owner": moved.get(row.output, row.owner)}) for row in disagreements)
        disagreements = [row for row in decided if row.owner != row.other]
    return owned | function_nodes(model, owned, tree), disagreements


def _body_nodes(
    around: ir.Node, row: Node, context: ModuleContext, tree: CallTree, weights: Mapping[str, Sequence[int]]
) -> OwnedNodes:
    """Return the nodes of a node's bodies: by what the exporter or file says, else by weights, else by the node around."""
    evidence, confidence = row.evidence, row.confidence
    # What is not recorded of a body ran inside the call that ran the node around it; where that module has children,
    # one of them may have run there unseen.
    if context.modules[context.calls[row.owner].module].children and confidence == "high":
        evidence, confidence = "dataflow", "medium"
    owned: OwnedNodes = {}
    for path, node in nodes_below(around):
        output = output_of(node)
        name = node_name(path, output)
        recorded = context.origins.get(name) or context.origins.get(output)
        readers = {row for value in node.inputs if value is not None for row in weights.get(str(value.name), ())}
        if recorded:
            owner = tree.common(recorded)
            unsure = owner in context.unsure_calls or name in context.unsure_nodes
            owned[node] = node_row(path, node, "exporter", owner=owner, confidence="medium" if unsure else "high")
        elif len(readers) == 1:
            owned[node] = node_row(path, node, "parameter", owner=readers.pop(), confidence="medium")
        else:
            owned[node] = node_row(path, node, evidence, owner=row.owner, confidence=confidence, known=row.known)
    return owned


def function_nodes(model: ir.Model, owned: OwnedNodes, tree: CallTree) -> OwnedNodes:
    """Return the nodes of model-local functions: each belongs to the common call of the nodes that use the function.

    Confidence is medium where one call uses it, else low. Nodes of a function are known where all that use it are, and any does.
    """
    if not model.functions:
        return {}
    calling = grouped((node.op_identifier(), row) for node, row in owned.items())
    bodies = model.functions.items()
    used_in = grouped((node.op_identifier(), key) for key, function in bodies for _, node in nodes_in(function))
    result: OwnedNodes = {}
    for key, function in bodies:
        rows = [row for user in reachable([key], lambda used: used_in.get(used, ())) for row in calling.get(user, ())]
        owners = {row.owner for row in rows}
        owner = tree.common(owners) if owners else 0
        known = bool(rows) and all(row.known for row in rows)
        confidence = "medium" if known and len(owners) == 1 else "low"
        for path, node in nodes_in(function, function_path(key)):
            result[node] = node_row(path, node, "dataflow", owner=owner, confidence=confidence, known=known)
    return result
