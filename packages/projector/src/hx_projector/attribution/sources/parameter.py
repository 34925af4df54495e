"""Owners by weights: a node that reads a parameter was made by the call of the module that the parameter belongs to."""

from __future__ import annotations

from hx_projector._claims import AttributionInput, Claim, Claims


def claim_by_parameter(given: AttributionInput) -> Claims:
    """Claim, with medium confidence, nodes whose parameters belong to one module that was called once.

    A module that was called several times says nothing: the order of nodes is not the order of calls.
    """
    rows = {module.fqn: row for row, module in enumerate(given.context.modules)}
    calls: dict[int, list[int]] = {}
    for row, call in enumerate(given.context.calls):
        calls.setdefault(call.module, []).append(row)
    calls_of_weight = {
        row.name: calls.get(module, [])
        for row in given.context.initializers
        if row.parameter and row.transform != "folded"  # a table made of a weight is read by others
        if (module := rows.get(row.parameter.rpartition(".")[0])) is not None
    }
    claims: dict[str, Claim] = {}
    for key, names in given.graph.reads.items():
        owners = {call for name in names for call in calls_of_weight.get(name, ())}
        if len(owners) == 1:
            claims[key] = Claim(owners.pop(), "medium")
    return claims
