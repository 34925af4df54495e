"""Calls in branches that a run in PyTorch did not go into: the file names their modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir

from hx_graph import nodes_in, output_of, reads
from hx_projector._claims import Claim
from hx_projector.file_metadata.claims import file_claims, is_parameter, parent_name
from hx_sidecar_schema import CONTAINERS, ModuleCall, ModuleContext, node_name


def with_unseen_calls(
    graph: ir.Graph, context: ModuleContext, claims: Mapping[str, Claim]
) -> tuple[ModuleContext, dict[str, Claim]]:
    """Return the context of a PyTorch run and claims, with a call of each module that only nodes of bodies or their weights name.

    It stands in its parent, behind what that called in the run, and has no ports. The nodes that name it are its own.
    """
    inner = {node_name(path, output_of(node)): node for path, node in nodes_in(graph) if path}
    named = {key: claim.fqn for key, claim in file_claims(graph).items() if key in inner} if inner else {}
    weights = {name for node in inner.values() for name in reads(node) if is_parameter(name)}
    module_rows = {name: row for row, m in enumerate(context.modules) for name in (m.fqn, *m.aliases)}
    called = {call.module for call in context.calls}
    fqns = (*named.values(), *map(parent_name, sorted(weights)))
    unseen = _with_callers(context, [row for fqn in fqns if (row := module_rows.get(fqn))], called)
    if not unseen:
        return context, dict(claims)
    order: list[tuple[int | None, int, int | None]] = []
    """Of each call the row that it had, the module and the new row of its parent."""
    children: dict[int | None, list[int]] = {}
    for row, call in enumerate(context.calls):
        children.setdefault(call.parent, []).append(row)
    first = {call.module: row for row, call in reversed(list(enumerate(context.calls)))}
    pending: list[tuple[int | None, int, int | None]] = [(0, 0, None)]
    while pending:
        old, module, parent = pending.pop()
        below = [(row, context.calls[row].module) for row in (() if old is None else children.get(old, ()))]
        if old is None or first[module] == old:
            below += [(None, other) for other, caller in unseen.items() if caller == module]
        pending += [(row, inside, len(order)) for row, inside in reversed(below)]
        order.append((old, module, parent))
    rows = {old: row for row, (old, _, _) in enumerate(order) if old is not None}
    made = {module: row for row, (old, module, _) in enumerate(order) if old is None}
    origins = {key: [rows[row] for row in found] for key, found in context.origins.items()}
    origins |= {key: [made[row]] for key, fqn in named.items() if (row := module_rows.get(fqn)) in made}
    calls = [
        ModuleCall(module=module, index=0, parent=parent, in_body=True)
        if old is None
        else context.calls[old].model_copy(update={"parent": parent})
        for old, module, parent in order
    ]
    moved = {key: Claim(rows[claim.owner], claim.confidence) for key, claim in claims.items()}
    return context.model_copy(update={"calls": calls, "origins": origins}), moved


def _with_callers(context: ModuleContext, wanted: Iterable[int], called: set[int]) -> dict[int, int]:
    """Return modules without a call, and those around them, with the module that called each."""
    callers: dict[int, int] = {}
    for row in wanted:
        while row not in called and row not in callers:
            caller = context.modules[row].parent or 0
            while caller not in called and context.modules[caller].class_name in CONTAINERS:
                caller = context.modules[caller].parent or 0
            callers[row] = caller
            row = caller
    return callers
