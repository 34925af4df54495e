"""The calls of an export with what their nodes cost, as rows of a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hx.records.analyze import CallEntry
from hx_extractor import shown_calls
from hx_sidecar_schema import Node, Sidecar

if TYPE_CHECKING:
    from hx_projector import CallCost

SORTS = ("macs", "params", "nodes")


def call_entries(
    sidecar: Sidecar,
    nodes: Sequence[Node],
    costs: Sequence[CallCost] | None,
    roots: Sequence[int],
    *,
    depth: int | None,
    sort: str | None,
) -> list[CallEntry]:
    """Return calls below some roots, a parent before its children.

    Args:
        sidecar: Of the model.
        nodes: Those that count.
        costs: Of all calls, where the model is at hand.
        roots: Calls that are shown with all that is below them. None: the tagged calls of the whole model; what another one
            holds is in the nearest call that is shown.
        depth: Levels below each root; None for all.
        sort: One of `SORTS`: order of what is below one call, most first. None for that of execution; `nodes` takes the
            place of the others where costs are not known.
    """
    owned = Counter(node.owner for node in nodes)
    held = [sum(owned[inner] for inner in range(row, end)) for row, end in enumerate(sidecar.subtree_end)]

    def size(row: int) -> int:
        if costs is None or sort == "nodes":
            return held[row]
        return costs[row].total.macs if sort == "macs" else costs[row].total.parameters

    entries: list[CallEntry] = []
    for row, parent, level in shown_calls(
        sidecar, roots or [0], depth=depth, everything=bool(roots), size=size if sort is not None else None
    ):
        call = sidecar.calls[row]
        module = sidecar.module_of(call)
        entries.append(
            CallEntry(
                fqn=module.fqn,
                call=call.index,
                tag=sidecar.tag(call),
                class_name=module.class_name,
                tagged=module.tagged,
                parent=parent,
                depth=level,
                nodes=held[row],
                own_nodes=owned[row],
                total=costs[row].total if costs is not None else None,
                own=costs[row].own if costs is not None else None,
            )
        )
    return entries
