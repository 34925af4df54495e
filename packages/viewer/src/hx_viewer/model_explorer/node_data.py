"""Numbers by node, as Model Explorer colours nodes with them and sums them up for groups."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hx_viewer._column import Column
from hx_viewer._view import View
from hx_viewer.model_explorer.ids import GraphIds

Json = dict[str, Any]
GRADIENT = [{"stop": 0, "bgColor": "#ffffff"}, {"stop": 0.1, "bgColor": "#fff0d9"}, {"stop": 1, "bgColor": "#f4a259"}]
COLOURS = {"high": "#e3f2e6", "medium": "#fff3c9", "low": "#ffd9c2", "unknown": "#e0e0e0"}
REMARKED = "#f28b82"
OF_CALLS = ["sum", "avg"]
"""Statistics that say nothing of numbers that do not add up; the table of children has shares of their sum."""


def node_data(view: View, column: Column, ids: Mapping[str, GraphIds]) -> Json:
    """Return a column as node data by graph: empty where no node has a number."""
    numbers = _of_outputs(view, column) if column.of_outputs else {row: _shown(x) for row, x in column.nodes.items()}
    results: dict[str, Json] = {}
    for path, graph in ids.items():
        shown = {name: numbers[row] for row, name in graph.nodes.items() if row in numbers}
        if column.adds_up and not path:
            rest = column.elsewhere(view.sidecar)
            shown |= {name: _shown(rest[row]) for row, name in graph.elsewhere.items() if row in rest}
        if shown:
            results[graph.graph] = {"name": column.title, "results": shown, "gradient": GRADIENT}
            if not column.adds_up:
                results[graph.graph] |= {"hideAggregatedStats": OF_CALLS, "hideInChildrenStatsTable": True}
    return results


def confidence(view: View, ids: Mapping[str, GraphIds]) -> Json:
    """Return how surely each node's owner is known, as node data by graph."""
    nodes = view.sidecar.nodes
    said = {row: node.confidence if node.known else "unknown" for row, node in enumerate(nodes)}
    return {
        graph.graph: {
            "name": "confidence",
            "results": {name: {"value": said[row], "bgColor": COLOURS[said[row]]} for row, name in graph.nodes.items()},
            "showExpandedSummaryOnGroupNode": True,
            "showLabelCountColumnsInChildrenStatsTable": True,
        }
        for graph in ids.values()
        if graph.nodes
    }


def _shown(number: float, remark: str = "") -> Json:
    """Return a number as a result; with a remark it stands out, whatever the others are. JSON has no infinity: a word stands for it."""
    shown: Json = {"value": number if math.isfinite(number) else "infinite"}
    return {**shown, "bgColor": REMARKED} if remark else shown


def _of_outputs(view: View, column: Column) -> dict[int, Json]:
    """Return numbers of calls at the nodes of theirs that make their outputs; where several calls end at a node, the innermost's."""
    sidecar = view.sidecar
    made: defaultdict[str, list[int]] = defaultdict(list)
    for graph in view.graphs.values():
        for node in graph.nodes:
            for name in node.outputs:
                made[name].append(node.row)
    numbers: dict[int, Json] = {}
    for row, call in enumerate(sidecar.calls):
        ends = (end for port in call.outputs if port.value for end in made[port.value])
        own = (end for end in ends if row <= sidecar.nodes[end].owner < sidecar.subtree_end[row])
        if row in column.total and (end := next(own, None)) is not None:
            numbers[end] = _shown(column.total[row], column.remarks.get(row, ""))
    return numbers
