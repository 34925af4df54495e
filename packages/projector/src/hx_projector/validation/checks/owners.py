"""Whether owners are known, and fit what the file, the graph and the rest of the sidecar say."""

import re
from collections.abc import Iterator

import onnx_ir as ir

from hx_graph import consumer_calls, nodes_below, output_of, reads
from hx_projector._categories import CATEGORIES
from hx_projector._claims import AttributionInput, Claim
from hx_projector._graph_index import GraphIndex, grouped, reachable
from hx_projector.attribution.sources import claim_by_dataflow, claim_by_parameter
from hx_projector.file_metadata.claims import FileClaim, file_claims
from hx_projector.validation.findings import Problem
from hx_projector.validation.pair import ModelAndSidecar
from hx_sidecar_schema import STRATEGIES, ModuleContext, node_name

_CRITICAL = frozenset(name for category in CATEGORIES if category.critical for name in category.operators)
(_VIEWS,) = (category.operators for category in CATEGORIES if category.name == "tensor manipulation")

_INLINED = ("torch._dynamo.eval_frame.OptimizedModule", "torch.fx.graph_module.")
"""How class names of modules begin that torch 2.13 opens no scope for: what torch.compile and torch.fx return."""


def expected_consumers(pair: ModelAndSidecar) -> list[list[int]]:
    """Return, for each row of a node, the calls outside its owner's subtree that read its outputs."""
    rows = pair.sidecar.nodes
    return consumer_calls([pair.found[row.key] for row in rows], [row.owner for row in rows], pair.tree.end)


def node_consumers(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that consumers are those that the graph has (V40)."""
    for row, expected in zip(pair.sidecar.nodes, expected_consumers(pair), strict=True):
        if row.consumers != expected:
            recorded, found = pair.call_names(row.consumers), pair.call_names(expected)
            verb = "reads" if len(expected) < 2 else "read"
            yield "V40", node_name(*row.key), f"Its consumers are {recorded}; in the graph {found} {verb} it."


def claimed_owners(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that the owner of a node that itself names a call is that call or lies around it (V41).

    A call around it may own the node that an optimiser made of nodes of several calls, or that is less than surely known. A strategy that does not
    ask the exporter may know less than the node says: there only what it knows with high confidence is checked. What a
    tool put into a graph it names after the value that it reads: that says nothing of the node.
    """
    sidecar, tree = pair.sidecar, pair.tree
    # A body that no run went into may name a call that was not made, and so can own no node.
    made = [(row, call) for row, call in enumerate(sidecar.calls) if call.status != "not_called"]
    calls = grouped(((call.module, index), row) for row, call in made for index in (call.index, None))
    owning = {row.owner for row in sidecar.nodes}
    makers = grouped((call.module, row) for row, call in made if row in owning)
    strategy = STRATEGIES.get(sidecar.generator.strategy)
    asks_exporter = strategy is None or "exporter" in strategy.sources
    claims = file_claims(pair.model.graph)
    for row in sidecar.nodes:
        claim = claims.get(node_name(*row.key))
        node = pair.found.get(row.key)
        if claim is None or node is None or not (asks_exporter or row.confidence == "high"):
            continue
        read = [str(value.name) for value in node.inputs if value is not None and value.name]
        if row.evidence == "lineage" and (node.name or "").startswith(tuple(read)):
            continue
        meant: list[int] = []
        for fqn, index in _readings(claim):
            if (module := pair.module_rows.get(fqn)) is None:
                continue
            # Where a module has several names, the calls under each are counted apart.
            meant += calls.get((module, None if sidecar.modules[module].aliases else index), ())
            if index is not None and "pkg.hx.module" not in node.metadata_props:
                # TorchScript (torch 2.13) counts only calls that made nodes of their own.
                meant += makers.get(module, [])[index : index + 1]
        sure = row.evidence == "exporter" and row.confidence == "high" and not claim.others
        around = (row.owner == call if sure else tree.contains(row.owner, call) for call in meant)
        if not meant or any(around) or any(_is_inlined(call, row.owner, pair) for call in meant):
            continue
        if not _is_view_read_by(node, meant, pair):
            named, owner = pair.call_name(meant[0]), pair.call_name(row.owner)
            source = f"({row.evidence}, {row.confidence})"
            message = f"The node itself names {named!r}; the owner is {owner!r} {source}."
            yield "V41", node_name(*row.key), message


def _is_inlined(named: int, owner: int, pair: ModelAndSidecar) -> bool:
    """Say whether torch's exporter names one call for what another ran: it goes no deeper on the way to that one."""
    path = list(pair.tree.leaving(owner, named))
    if not path or pair.tree.parent[path[-1]] != named:
        return False
    return pair.sidecar.module_of(pair.sidecar.calls[path[-1]]).class_name.startswith(_INLINED)


def _readings(claim: FileClaim) -> list[tuple[str, int | None]]:
    """Return the calls that a claim may mean: the TorchScript exporter calls `lin@1` and a module `lin_1` alike."""
    again = re.fullmatch(r"(.+)_([1-9]\d{0,5})", claim.fqn)
    if claim.index != 0 or again is None:
        return [(claim.fqn, claim.index)]
    return [(claim.fqn, 0), (again[1], int(again[2]))]


def _is_view_read_by(node: ir.Node, calls: list[int], pair: ModelAndSidecar) -> bool:
    """Say whether a node is a view that one of the calls reads, through other views too, or may read: where a part hands it out.

    torch 2.13 makes a view of a changed tensor anew where it is read, and names the reader; hx knows who made it first.
    """

    def readers(node: ir.Node) -> list[ir.Node]:
        return [reader for out in node.outputs for reader in out.consumers()] if node.op_type in _VIEWS else []

    views = list(reachable([node], readers))
    if pair.is_part and any(out.is_graph_output() for view in views if view.op_type in _VIEWS for out in view.outputs):
        return True
    found = (pair.main_owners.get(output_of(reader)) for reader in views[1:])
    return any(pair.tree.contains(call, owner) for owner in found if owner is not None for call in calls)


def known_owners(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that what computes with weights or data has an owner that is known by evidence (V42).

    A node that is not known may still be the root's: weights and dataflow are asked again, given all other rows, and
    nothing is wrong where they name the root. Nodes of functions are left out: they belong to the users of the
    function. So is a part of a model: what was copied in belongs to its root; and a model of one module.
    """
    unknown = {row.key for row in pair.sidecar.nodes if not row.known}
    if not unknown or pair.is_part or len(pair.sidecar.modules) == 1:
        return
    weights = {row.name for row in pair.sidecar.initializers if row.parameter}
    sidecar = pair.sidecar
    context = ModuleContext(
        generator=sidecar.generator, modules=sidecar.modules, calls=sidecar.calls, initializers=sidecar.initializers
    )
    known = {row.output: Claim(row.owner, row.confidence) for row in sidecar.nodes if row.known and not row.graph}
    given = AttributionInput(GraphIndex(pair.model.graph), context, pair.tree, known, {})
    claims = {**claim_by_dataflow(given), **claim_by_parameter(given)}
    for around in pair.model.graph:
        outer = output_of(around)
        for path, node in (("", around), *nodes_below(around)):
            key, claim = (path, output_of(node)), claims.get(outer)
            critical = node.op_type in _CRITICAL or not weights.isdisjoint(reads(node))
            if key not in unknown or not critical:
                continue
            message = f"The root stands in for this {node.op_type}"
            if ("", outer) not in unknown:
                yield "V42", node_name(*key), f"{message}, though the node around it is known."
            elif claim is None:
                yield "V42", node_name(*key), f"Nothing says who made this {node.op_type}: the root stands in."
            elif claim.owner != 0:
                yield "V42", node_name(*key), f"{message}; what is around it says {pair.call_name(claim.owner)!r}."


def disagreements(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that a disagreement is about a node of the main graph, and that the stronger source decided (V43)."""
    nodes = {row.output: row for row in pair.sidecar.nodes if not row.graph}
    for row in pair.sidecar.disagreements:
        node = nodes.get(row.output)
        if node is None:
            yield "V43", row.output, "A disagreement is about it; the main graph has no such node."
        elif node.owner != row.owner and node.known:
            decided, owner = pair.call_name(row.owner), pair.call_name(node.owner)
            yield "V43", row.output, f"`{row.evidence}` gave it to {decided!r}; the owner is {owner!r}."
        elif row.owner == row.other:
            yield "V43", row.output, "Both sources name the same call."


def spanned_calls(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that the owner of a node that stands for nodes of several calls is their common call (V44)."""
    for node in pair.sidecar.nodes:
        calls, problem = set(node.covers), ""
        if len(set(node.originals)) < len(node.originals):
            problem = "`originals` names a node twice."
        elif len(calls) == 1:
            problem = f"`covers` names {pair.call_names(node.covers)}: one call alone is the owner."
        elif calls and not node.originals:
            problem = "`covers` names calls, and `originals` no node that they own."
        elif calls and (common := pair.tree.common(calls)) != node.owner:
            shared, owner = pair.call_name(common), pair.call_name(node.owner)
            names = pair.call_names(node.covers)
            problem = f"It covers {names}, which have {shared!r} in common; the owner is {owner!r}."
        if problem:
            yield "V44", node_name(*node.key), problem
