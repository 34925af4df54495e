"""Bringing files of other versions to this one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hx_sidecar_schema._errors import HxError

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From a major version to the next; the first major needs none."""


def _from_1_0(data: dict[str, Any]) -> dict[str, Any]:
    """Return a file of format 1.0 with `known` of its nodes, which 1.0 spelled as the root with low confidence.

    Dataflow may say the same of a node that it knows; where the summary counts every node as covered, it did.
    """
    nodes, summary = data.get("nodes"), data.get("summary")
    if not isinstance(nodes, list) or (isinstance(summary, dict) and summary.get("covered_percent") == 100):
        return data

    def unknown(row: Any) -> bool:
        evidence = isinstance(row, dict) and row.get("evidence") in ("dataflow", "lineage")
        return evidence and (row.get("owner"), row.get("confidence")) == (0, "low")

    return {**data, "nodes": [{**row, "known": False} if unknown(row) else row for row in nodes]}


def migrate(data: Any, path: Path, current: str) -> dict[str, Any]:
    """Return parsed JSON in the `current` version; its `schema_version` stays where only the minor one is older.

    Raises:
        HxError: HX303 if the file is of a newer major version, HX304 if it names no version or one that nothing migrates.
    """
    version = data.get("schema_version") if isinstance(data, dict) else None
    number = version.partition(".")[0] if isinstance(version, str) else ""
    if not number.isdigit():
        message = f"File {str(path)!r} is no hx sidecar: its schema_version is {version!r}."
        raise HxError(message, code="HX304", hint="Name the NAME_hierarchy.json that `hx export` wrote.")
    major, newest = int(number), int(current.partition(".")[0])
    if major > newest:
        raise HxError(
            f"File {str(path)!r} has schema_version {version!r}; this hx reads up to {newest}.x.",
            code="HX303",
            hint=f"Install an hx-sidecar-schema that reads version {major}: `pip install -U hx-sidecar-schema`.",
        )
    while major < newest:
        if major not in MIGRATIONS:
            message = f"File {str(path)!r} has schema_version {version!r}, which this hx reads no more."
            raise HxError(message, code="HX304", hint="Export the model again.")
        data = MIGRATIONS[major](data)
        major += 1
    return _from_1_0(data) if data.get("schema_version") == "1.0" else data
