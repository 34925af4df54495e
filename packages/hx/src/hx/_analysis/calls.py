"""The calls of an export with what their nodes cost, as rows of a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hx.records.analyze import CallEntry
from hx_sidecar_schema import Node, Sidecar

if TYPE_CHECKING:
    from hx_projector import CallCost

SORTS = ("macs", "params", "nodes")


def selected_rows(sidecar: Sidecar, roots: Sequence[int]) -> set[int]:
    """Return the rows of some calls and of all below them; of all calls without any."""
    if not roots:
        return set(range(len(sidecar.calls)))
    return {row for root in roots for row in range(root, sidecar.subtree_end[root])}


def call_entries(
    sidecar: Sidecar,
    nodes: Sequence[Node],
    costs: Sequence[CallCost] | None,
    roots: Sequence[int],
    *,
    everything: bool,
    depth: int | None,
    sort: str | None,
) -> list[CallEntry]:
    """Return calls below some roots, a parent before its children.

    Args:
        sidecar: Of the model.
        nodes: Those that count.
        costs: Of all calls, where the model is at hand.
        roots: Calls that are shown with what is below them.
        everything: Untagged calls too; what one holds is in the nearest call that is shown, else.
        depth: Levels below each root; None for all.
        sort: One of `SORTS`: order of what is below one call, most first. None for that of execution; `nodes` takes the
            place of the others where costs are not known.
    """
    owned = Counter(node.owner for node in nodes)
    held = [0] * len(sidecar.calls)
    children: dict[int, list[int]] = {}
    for row in range(len(sidecar.calls) - 1, -1, -1):
        held[row] += owned[row]
        parent = sidecar.calls[row].parent
        if parent is not None:
            held[parent] += held[row]
            children.setdefault(parent, []).insert(0, row)
    entries: list[CallEntry] = []

    def size(row: int) -> int:
        if costs is None or sort == "nodes":
            return held[row]
        return costs[row].total.macs if sort == "macs" else costs[row].total.parameters

    def below(row: int) -> list[int]:
        """The next calls down that are shown."""
        found: list[int] = []
        for child in children.get(row, ()):
            shown = everything or sidecar.module_of(sidecar.calls[child]).tagged
            found += [child] if shown else below(child)
        return sorted(found, key=size, reverse=True) if sort is not None else found

    pending: list[tuple[int, int | None, int]] = [(root, None, 0) for root in reversed(roots)]
    while pending:
        row, parent, level = pending.pop()
        call = sidecar.calls[row]
        module = sidecar.module_of(call)
        position = len(entries)
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
        if depth is None or level < depth:
            pending += [(child, position, level + 1) for child in reversed(below(row))]
    return entries
