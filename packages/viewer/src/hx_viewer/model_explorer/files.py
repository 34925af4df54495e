"""All files that Model Explorer shows of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hx_viewer._view import View
from hx_viewer.model_explorer.graph import collection
from hx_viewer.model_explorer.ids import ids_of
from hx_viewer.model_explorer.mapping import mapping
from hx_viewer.model_explorer.node_data import confidence, node_data

GRAPH, MAPPING, CONFIDENCE = "graph.json", "mapping.json", "confidence.json"
COLUMNS = ("time", "memory", "error_local", "error_accumulated", "macs", "result_bytes")
"""Names of columns that may give a file."""
MODEL_EXPLORER_NAMES = (GRAPH, MAPPING, CONFIDENCE, *(f"{name}.json" for name in COLUMNS))


def is_model_explorer_file(path: Path) -> bool:
    """Say whether a file is node data or a mapping, as `model_explorer_files` makes them; not of which model."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return False
    parts: list[Any] = [*content.values()] if isinstance(content, dict) else [None]
    mapped = isinstance(content, dict) and content.get("type") == "sync_navigation"
    return mapped or all(isinstance(part, dict) and "results" in part for part in parts)


def model_explorer_files(view: View) -> dict[str, dict[str, Any]]:
    """Return the JSON of each file by its name.

    `graph.json` is for the adapter `builtin_json`; `mapping.json` is there for a relinked model, and needs the `graph.json` of the model that
    it was made of on the left; all others are node data: `confidence.json`, and one for each column that nodes have numbers of.
    """
    ids = ids_of(view)
    files: dict[str, dict[str, Any]] = {GRAPH: collection(view, ids)}
    data = {f"{column.name}.json": node_data(view, column, ids) for column in view.columns}
    files |= {name: results for name, results in data.items() if results} | {CONFIDENCE: confidence(view, ids)}
    if view.sidecar.is_relinked:
        files[MAPPING] = mapping(view, ids)
    return files
