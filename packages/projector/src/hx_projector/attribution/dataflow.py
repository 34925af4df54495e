"""Owners by position: a node between nodes that stronger sources claim belongs to the call that these have in common.

Data are the values that depend on the model's inputs other than through sizes. A node that produces data has claimed nodes
above it, where its data comes from, and below it, where its results go. A node that produces no data, a constant or a
size, serves the nodes that read it.

What comes from the model's own inputs without a claimed node between, or reaches an output of the model so, is open on
that side: the root may have made it. Every claim is thus at most of medium confidence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import onnx_ir as ir

from hx_projector._claims import AttributionInput, Claim, Claims


class _Side(NamedTuple):
    """What lies above or below a node."""

    call: int | None
    """Common call of the nearest claimed nodes; None where there are none."""
    is_open: bool = False
    """Whether a model input is above, past all claimed nodes; or below, several calls or an output of the model."""


def claim_by_dataflow(given: AttributionInput) -> Claims:
    """Claim the nodes that no stronger source claims, by those around them.

    * Of data: the common call of the claimed nodes above and below; medium where both are that very call, else low. The
      root, low, where a side is open.
    * Of no data: the common call of its readers; medium where they are of one call and none is low, else low.
    * A copy of a model input that is a model output: the root, medium. Exporters copy what `forward` returns unchanged.
    """
    graph, stronger = given.graph, given.stronger
    unclaimed = [key for key in graph.nodes if key not in stronger]

    def common(sides: Iterable[_Side]) -> int | None:
        calls = {side.call for side in sides if side.call is not None}
        return given.tree.common(calls) if calls else None

    above = {key: _Side(claim.owner) for key, claim in stronger.items()}
    below = dict(above)
    for key in unclaimed:
        sources = [graph.producer.get(name) for name in graph.reads[key] if name in graph.data]
        sides = [above[source] for source in sources if source is not None]
        above[key] = _Side(common(sides), None in sources or any(side.is_open for side in sides))
    for key in reversed(unclaimed):
        sides = [below[reader] for reader in graph.readers_of(key)]
        is_open = len({side.call for side in sides}) != 1 or graph.is_handed_out(key)
        below[key] = _Side(common(sides), is_open or any(side.is_open for side in sides))

    claims: dict[str, Claim] = {}
    for key in unclaimed:
        up, down = above[key], below[key]
        owner = common((up, down))
        if key not in graph.data or owner is None:
            continue
        if up.call is None or down.call is None or up.is_open or down.is_open:
            claims[key] = Claim(0, "low")
        else:
            claims[key] = Claim(owner, "medium" if up.call == down.call else "low")
    for key in reversed(unclaimed):
        found = (stronger.get(reader) or claims.get(reader) for reader in graph.readers_of(key))
        readers = [claim for claim in found if claim is not None]
        if key not in graph.data and readers:
            owners = {claim.owner for claim in readers}
            low = any(claim.confidence == "low" for claim in readers)
            certain = len(owners) == 1 and not graph.is_handed_out(key) and not low
            claims[key] = Claim(given.tree.common(owners), "medium" if certain else "low")
    return claims | {key: Claim(0, "medium") for key in unclaimed if _hands_on(graph.nodes[key])}


def _hands_on(node: ir.Node) -> bool:
    """Say whether a node only copies an input of the model to an output."""
    if node.op_type != "Identity" or not node.inputs:
        return False
    source, out = node.inputs[0], node.outputs[0]
    return source is not None and source.is_graph_input() and out.is_graph_output()
