"""Whether the owners of nodes that compute something are known."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from hx_graph import nodes_below, output_of, reads
from hx_projector._categories import CATEGORIES
from hx_projector._claims import AttributionInput, Claim
from hx_projector._graph_index import GraphIndex
from hx_projector.attribution.dataflow import claim_by_dataflow
from hx_projector.attribution.sources import claim_by_parameter
from hx_projector.validation.findings import Finding
from hx_projector.validation.pair import ModelAndSidecar, node_name
from hx_sidecar_schema import ModuleContext

_CRITICAL = frozenset(name for category in CATEGORIES if category.critical for name in category.operators)

NodeKey = tuple[str, str]
"""Graph path and first output."""


def known_owners(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that what computes with weights or data has an owner that is known by evidence (V42).

    A node that is not known may still be the root's: weights and dataflow are asked again, given all other rows, and
    nothing is wrong where they name the root. Nodes of functions are left out: they belong to the users of the
    function. So is a part of a model: what was copied in belongs to its root.
    """
    unknown = {(row.graph, row.output) for row in pair.sidecar.nodes if not row.known}
    if not unknown or pair.is_part:
        return
    weights = {row.name for row in pair.sidecar.initializers if row.parameter}
    claims = _claims_of_unknown(pair, unknown)
    for outer, path, node in _nodes_with_outer(pair):
        output = output_of(node)
        if (path, output) not in unknown or not _is_critical(node, weights):
            continue
        root_stands_in = f"The root stands in for this {node.op_type}"
        claim = claims.get(outer)
        if ("", outer) not in unknown:
            message = f"{root_stands_in}, though the node around it is known."
        elif claim is None:
            message = f"Nothing says who made this {node.op_type}: the root stands in."
        elif claim.owner != 0:
            message = f"{root_stands_in}; what is around it says {pair.call_name(claim.owner)!r}."
        else:
            continue
        yield Finding.of("V42", node_name(path, output), message)


def _is_critical(node: ir.Node, weights: set[str]) -> bool:
    return node.op_type in _CRITICAL or any(name in weights for name in reads(node))


def _nodes_with_outer(pair: ModelAndSidecar) -> Iterator[tuple[str, str, ir.Node]]:
    """Yield the nodes of the main graph and its bodies: the main graph's node that it is or is in, path, node."""
    for node in pair.model.graph:
        outer = output_of(node)
        yield outer, "", node
        for path, inner in nodes_below(node):
            yield outer, path, inner


def _claims_of_unknown(pair: ModelAndSidecar, unknown: set[NodeKey]) -> dict[str, Claim]:
    """Return what weights, else dataflow, say of the nodes that are not known."""
    sidecar = pair.sidecar
    context = ModuleContext(
        generator=sidecar.generator, modules=sidecar.modules, calls=sidecar.calls, initializers=sidecar.initializers
    )
    known = {
        row.output: Claim(row.owner, row.confidence)
        for row in sidecar.nodes
        if not row.graph and (row.graph, row.output) not in unknown
    }
    given = AttributionInput(GraphIndex(pair.model), context, pair.tree, known, {})
    return {**claim_by_dataflow(given), **claim_by_parameter(given)}
