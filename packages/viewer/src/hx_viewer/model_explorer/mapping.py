"""Which nodes of two graphs belong together, as Model Explorer keeps two panes beside each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hx_sidecar_schema import visible
from hx_viewer._view import View
from hx_viewer.model_explorer.ids import GraphIds


def mapping(view: View, ids: Mapping[str, GraphIds]) -> dict[str, Any]:
    """Return `sync_navigation` data: on the left the model that a relinked one was made of, on the right this one.

    Nodes that share what they stand for are in one entry: each node is in one entry alone.
    """
    group: dict[str, str] = {}

    def first(name: str) -> str:
        while group[name] != name:
            group[name] = group[group[name]]
            name = group[name]
        return name

    nodes = [(row, node.originals) for row, node in enumerate(view.sidecar.nodes) if not node.graph and node.originals]
    for _, originals in nodes:
        for original in originals:
            group.setdefault(original, original)
            group[first(original)] = first(originals[0])
    left: defaultdict[str, list[str]] = defaultdict(list)
    right: defaultdict[str, list[str]] = defaultdict(list)
    for original in group:
        left[first(original)].append(visible(original))
    for row, originals in nodes:
        right[first(originals[0])].append(ids[""].nodes[row])
    entries = [{"leftNodeIds": names, "rightNodeIds": right[key]} for key, names in left.items()]
    return {"type": "sync_navigation", "mappingEntries": entries}
