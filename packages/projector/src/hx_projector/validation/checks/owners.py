"""Whether owners agree with what the file itself says of its nodes, and consumers with the graph."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import onnx_ir as ir

from hx_graph import CallTree, nodes_below, output_of, reads
from hx_projector.attribution.categories import CATEGORIES
from hx_projector.attribution.owners import OwnedNode, consumers
from hx_projector.attribution.sources.claim import AttributionInput, Claim
from hx_projector.attribution.sources.dataflow import claim_by_dataflow
from hx_projector.attribution.sources.parameter import claim_by_parameter
from hx_projector.file_metadata.claims import FileClaim, file_claims
from hx_projector.validation.findings import Finding
from hx_projector.validation.subject import Subject, named, node_name
from hx_sidecar_schema import STRATEGIES, ModuleContext

_CRITICAL = frozenset(name for category in CATEGORIES if category.critical for name in category.operators)
(_VIEWS,) = (category.operators for category in CATEGORIES if category.name == "tensor manipulation")


def recomputed_consumers(subject: Subject) -> list[list[int]]:
    """Return, for each row of a node, the calls outside its owner's subtree that read its outputs."""
    owned = [
        OwnedNode(
            row.graph,
            row.output,
            subject.found[row.graph, row.output],
            row.owner,
            row.evidence,
            row.confidence,
        )
        for row in subject.sidecar.nodes
    ]
    return consumers(owned, subject.tree)


def node_consumers(subject: Subject) -> list[Finding]:
    """Consumers are those that the graph has (V40)."""
    findings: list[Finding] = []
    for row, right in zip(subject.sidecar.nodes, recomputed_consumers(subject), strict=True):
        if row.consumers != right:
            said, there = (named(map(subject.call_name, rows)) or "nobody" for rows in (row.consumers, right))
            findings.append(
                Finding.of(
                    "V40",
                    node_name(row.graph, row.output),
                    f"Its consumers are {said}; in the graph {there} read{'s' if len(right) < 2 else ''} it.",
                )
            )
    return findings


def exporter_words(subject: Subject) -> list[Finding]:
    """Where a node itself names a call, that call is the owner, or lies inside it (V41).

    A call around it may own the node: the optimiser made one node of several calls' ones. A strategy that does not
    ask the exporter may know less than the node says; there what it is sure of counts.
    """
    sidecar, tree = subject.sidecar, subject.tree
    calls: dict[tuple[int, int | None], list[int]] = {}
    for number, call in enumerate(sidecar.calls):
        calls.setdefault((call.module, call.index), []).append(number)
        calls.setdefault((call.module, None), []).append(number)
    strategy = STRATEGIES.get(sidecar.generator.strategy)
    asked = strategy is None or "exporter" in strategy.sources
    said = file_claims(subject.model.graph, subject.model.graph.initializers)
    owners = {row.output: row.owner for row in sidecar.nodes if not row.graph}
    findings: list[Finding] = []
    for row in sidecar.nodes:
        words = said.get(row.output) if not row.graph else None
        node = subject.found.get((row.graph, row.output))
        if words is None or node is None or not (asked or row.confidence == "high"):
            continue
        meant = [
            number
            for fqn, index in _readings(words)
            if (module := subject.module_rows.get(fqn)) is not None
            # Where a module has several names, the calls under each are counted apart.
            for number in calls.get((module, None if sidecar.modules[module].aliases else index), ())
        ]
        if (
            meant
            and not any(tree.contains(row.owner, number) for number in meant)
            and not _view_read_by(node, meant, owners, tree)
        ):
            who = f"{subject.call_name(row.owner)!r} ({row.evidence}, {row.confidence})"
            findings.append(
                Finding.of(
                    "V41",
                    node_name(row.graph, row.output),
                    f"The node itself names {subject.call_name(meant[0])!r}; the owner is {who}, which is not around it.",
                )
            )
    return findings


def _readings(words: FileClaim) -> list[tuple[str, int | None]]:
    """Return what words may mean: the TorchScript exporter calls the second call of `lin` and a module `lin_1` alike."""
    again = re.fullmatch(r"(.+)_([1-9]\d{0,5})", words.fqn)
    if words.index != 0 or again is None:
        return [(words.fqn, words.index)]
    return [(words.fqn, 0), (again[1], int(again[2]))]


def _view_read_by(node: ir.Node, calls: list[int], owners: Mapping[str, int], tree: CallTree) -> bool:
    """Say whether a node is a view that one of the calls reads, through other views too.

    torch makes a view of a changed tensor anew where somebody reads it, and names the reader (torch 2.13); hx knows who
    made it first.
    """
    pending, seen = [node], {id(node)}
    while pending:
        current = pending.pop()
        if current.op_type not in _VIEWS:
            continue
        for out in current.outputs:
            for user in out.consumers():
                owner = owners.get(output_of(user))
                if owner is not None and any(tree.contains(call, owner) for call in calls):
                    return True
                if id(user) not in seen:
                    seen.add(id(user))
                    pending.append(user)
    return False


def known_owners(subject: Subject) -> list[Finding]:
    """What computes with weights or data has an owner that is known by evidence (V42).

    Of rows that are not known, weights and dataflow are asked again, given all other rows. Nodes of functions are left
    out: they belong to the users of the function. So is a part of a model: what was copied in belongs to its root.
    """
    unsure = {(row.graph, row.output) for row in subject.sidecar.nodes if not row.known}
    if not unsure or subject.is_part:
        return []
    weights = {row.name for row in subject.sidecar.initializers if row.parameter}
    claims = _claims(subject, unsure)
    findings: list[Finding] = []
    for outer, path, output, node in _main_nodes(subject):
        if (path, output) not in unsure or not _matters(node, weights):
            continue
        in_known = ("", outer) not in unsure  # in a body of a node that is known
        claim = Claim(-1, "low") if in_known else claims.get(outer)
        if claim is None or claim.owner != 0:
            findings.append(Finding.of("V42", node_name(path, output), _why(subject, node, claim)))
    return findings


def _matters(node: ir.Node, weights: set[str]) -> bool:
    return node.op_type in _CRITICAL or any(name in weights for name in reads(node))


def _why(subject: Subject, node: ir.Node, claim: Claim | None) -> str:
    if claim is None:
        return f"Nothing says who made this {node.op_type}: the root stands in."
    if claim.owner < 0:
        return f"The root stands in for this {node.op_type}, though the node around it is known."
    return f"The root stands in for this {node.op_type}; what is around it says {subject.call_name(claim.owner)!r}."


def _main_nodes(subject: Subject) -> Iterator[tuple[str, str, str, ir.Node]]:
    """Yield nodes of the main graph and its bodies, each with the first output of the main graph's node around it."""
    for node in subject.model.graph:
        outer = output_of(node)
        yield outer, "", outer, node
        for path, inner in nodes_below(node, ""):
            yield outer, path, output_of(inner), inner


def _claims(subject: Subject, unsure: set[tuple[str, str]]) -> dict[str, Claim]:
    """Return what dataflow and, stronger, weights say of nodes that nothing else is known of."""
    sidecar = subject.sidecar
    context = ModuleContext(
        generator=sidecar.generator,
        modules=sidecar.modules,
        calls=sidecar.calls,
        initializers=sidecar.initializers,
    )
    known = {
        row.output: Claim(row.owner, row.confidence)
        for row in sidecar.nodes
        if not row.graph and (row.graph, row.output) not in unsure
    }
    given = AttributionInput(list(subject.model.graph), context, subject.tree, known, {})
    return {**claim_by_dataflow(given), **claim_by_parameter(given)}


def disagreements(subject: Subject) -> list[Finding]:
    """A disagreement is about a node of the main graph, and the stronger source decided (V43)."""
    owners = {row.output: row for row in subject.sidecar.nodes if not row.graph}
    findings: list[Finding] = []
    for row in subject.sidecar.disagreements:
        node = owners.get(row.output)
        if node is None:
            findings.append(
                Finding.of("V43", row.output, "A disagreement is about it; the main graph has no such node.")
            )
        elif node.owner != row.owner and node.known:
            decided, owner = subject.call_name(row.owner), subject.call_name(node.owner)
            findings.append(
                Finding.of(
                    "V43", row.output, f"`{row.evidence}` gave it to {decided!r}; the owner is {owner!r}."
                )
            )
        elif row.owner == row.other:
            findings.append(Finding.of("V43", row.output, "Both sources name the same call."))
    return findings
