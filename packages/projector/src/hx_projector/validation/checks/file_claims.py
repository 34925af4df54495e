"""Whether owners agree with what the file itself says of its nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import onnx_ir as ir

from hx_graph import CallTree, output_of
from hx_projector._categories import CATEGORIES
from hx_projector.file_metadata.claims import FileClaim, file_claims
from hx_projector.validation.findings import Finding
from hx_projector.validation.pair import ModelAndSidecar, node_name
from hx_sidecar_schema import STRATEGIES

(_VIEWS,) = (category.operators for category in CATEGORIES if category.name == "tensor manipulation")


def claimed_owners(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that the owner of a node that itself names a call is that call or lies inside it (V41).

    A call around it may own the node: the optimiser made one node of nodes of several calls. A strategy that does not
    ask the exporter may know less than the node says: there only what it knows with high confidence is checked.
    """
    sidecar, tree = pair.sidecar, pair.tree
    calls: dict[tuple[int, int | None], list[int]] = {}
    for number, call in enumerate(sidecar.calls):
        calls.setdefault((call.module, call.index), []).append(number)
        calls.setdefault((call.module, None), []).append(number)
    strategy = STRATEGIES.get(sidecar.generator.strategy)
    asks_exporter = strategy is None or "exporter" in strategy.sources
    claims = file_claims(pair.model.graph, pair.model.graph.initializers)
    owners = {row.output: row.owner for row in sidecar.nodes if not row.graph}
    for row in sidecar.nodes:
        claim = claims.get(row.output) if not row.graph else None
        node = pair.found.get((row.graph, row.output))
        if claim is None or node is None or not (asks_exporter or row.confidence == "high"):
            continue
        meant = [
            number
            for fqn, index in _readings(claim)
            if (module := pair.module_rows.get(fqn)) is not None
            # Where a module has several names, the calls under each are counted apart.
            for number in calls.get((module, None if sidecar.modules[module].aliases else index), ())
        ]
        if not meant or any(tree.contains(row.owner, number) for number in meant):
            continue
        if not _is_view_read_by(node, meant, owners, tree):
            owner = f"{pair.call_name(row.owner)!r} ({row.evidence}, {row.confidence})"
            message = (
                f"The node itself names {pair.call_name(meant[0])!r}; the owner is {owner}, which is not around it."
            )
            yield Finding.of("V41", node_name(row.graph, row.output), message)


def _readings(claim: FileClaim) -> list[tuple[str, int | None]]:
    """Return the calls that a claim may mean: the TorchScript exporter calls `lin@1` and a module `lin_1` alike."""
    again = re.fullmatch(r"(.+)_([1-9]\d{0,5})", claim.fqn)
    if claim.index != 0 or again is None:
        return [(claim.fqn, claim.index)]
    return [(claim.fqn, 0), (again[1], int(again[2]))]


def _is_view_read_by(node: ir.Node, calls: list[int], owners: Mapping[str, int], tree: CallTree) -> bool:
    """Say whether a node is a view that one of the calls reads, through other views too.

    torch makes a view of a changed tensor anew where it is read, and names the reader (torch 2.13); hx knows which call
    made it first.
    """
    pending, seen = [node], {id(node)}
    while pending:
        current = pending.pop()
        if current.op_type not in _VIEWS:
            continue
        for out in current.outputs:
            for reader in out.consumers():
                owner = owners.get(output_of(reader))
                if owner is not None and any(tree.contains(call, owner) for call in calls):
                    return True
                if id(reader) not in seen:
                    seen.add(id(reader))
                    pending.append(reader)
    return False
