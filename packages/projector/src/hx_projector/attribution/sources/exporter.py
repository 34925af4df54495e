"""The exporter's own record of which calls ran the operation behind each node."""

from __future__ import annotations

from hx_projector._claims import AttributionInput, Claim, Claims


def claim_by_exporter(given: AttributionInput) -> Claims:
    """Claim nodes for the recorded call; of several, for their common call.

    Confidence is high, but medium for calls of a module whose runs the record does not tell apart.
    """
    uncertain = set(given.context.unsure_calls)
    claims: dict[str, Claim] = {}
    for key in given.graph.nodes:
        rows = given.context.origins.get(key)
        if rows:
            owner = rows[0] if len(rows) == 1 else given.tree.common(rows)
            claims[key] = Claim(owner, "medium" if owner in uncertain else "high")
    return claims
