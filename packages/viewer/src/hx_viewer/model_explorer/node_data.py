"""Numbers by node, as Model Explorer colours nodes with them and sums them up for groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hx_viewer._column import Column
from hx_viewer._view import View
from hx_viewer.model_explorer.ids import GraphIds

Json = dict[str, Any]
GRADIENT = [{"stop": 0, "bgColor": "#ffffff"}, {"stop": 0.1, "bgColor": "#fff0d9"}, {"stop": 1, "bgColor": "#f4a259"}]
COLOURS = {"high": "#e3f2e6", "medium": "#fff3c9", "low": "#ffd9c2", "unknown": "#e0e0e0"}
OF_CALLS = ["sum", "avg"]
"""Statistics that say nothing of numbers that do not add up."""


def node_data(view: View, column: Column, ids: Mapping[str, GraphIds]) -> Json:
    """Return a column as node data by graph: empty where no node has a number."""
    numbers = _of_outputs(view, column) if column.of_outputs else dict(column.nodes)
    results: dict[str, Json] = {}
    for path, graph in ids.items():
        found = {name: numbers[row] for row, name in graph.nodes.items() if row in numbers}
        if column.adds_up and not path:
            rest = column.elsewhere(view.sidecar)
            found |= {name: rest[row] for row, name in graph.elsewhere.items() if row in rest}
        shown = {name: {"value": number} for name, number in found.items() if math.isfinite(number)}
        if shown:
            results[graph.graph] = {"name": column.title, "results": shown, "gradient": GRADIENT}
            if not column.adds_up:
                results[graph.graph]["hideAggregatedStats"] = OF_CALLS
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


def _of_outputs(view: View, column: Column) -> dict[int, float]:
    """Return numbers of calls at the nodes that make their outputs; where several calls end at a node, the innermost's."""
    made = {node.key: row for row, node in enumerate(view.sidecar.nodes)}
    for graph in view.graphs.values():
        made |= {(graph.path, name): node.row for node in graph.nodes for name in node.outputs if name}
    numbers: dict[int, float] = {}
    for row, call in enumerate(view.sidecar.calls):
        ends = (made.get(("", port.value)) for port in call.outputs if port.value)
        end = next((end for end in ends if end is not None), None)
        if row in column.total and end is not None:
            numbers[end] = column.total[row]
    return numbers
