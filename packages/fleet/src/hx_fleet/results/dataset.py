"""The rows of a run as two Parquet files."""

from __future__ import annotations

import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from hx.records.fleet import CallRow, ModelResult, StepRow
from hx_sidecar_schema import Record

STEPS, CALLS = "steps.parquet", "calls.parquet"
ROWS = 100_000
"""Rows that are written together: a group of rows of the file."""
TYPES: dict[type, Any] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def write_dataset(results: Iterable[ModelResult], folder: Path) -> None:
    """Write the rows of all results, in their order: `steps.parquet` and `calls.parquet`.

    Equal rows make equal bytes with one version of pyarrow.
    """
    schemas = {STEPS: schema_of(StepRow), CALLS: schema_of(CallRow)}
    working = folder / "working"
    working.mkdir(exist_ok=True)
    new = {name: working / name for name in schemas}
    waiting: dict[str, list[dict[str, Any]]] = {name: [] for name in schemas}
    with pq.ParquetWriter(new[STEPS], schemas[STEPS]) as steps, pq.ParquetWriter(new[CALLS], schemas[CALLS]) as calls:
        writers = {STEPS: steps, CALLS: calls}

        def write(name: str) -> None:
            writers[name].write_table(pa.Table.from_pylist(waiting[name], schemas[name]))
            waiting[name].clear()

        for result in results:
            waiting[STEPS] += [row.model_dump() for row in result.steps]
            waiting[CALLS] += [row.model_dump() for row in result.calls]
            for name, rows in waiting.items():
                if len(rows) >= ROWS:
                    write(name)
        for name in writers:
            write(name)
    for name, path in new.items():
        path.rename(folder / name)


def schema_of(record: type[Record]) -> pa.Schema:
    """Return the columns of a record; a field that may be None is a column that may be null."""
    hints = get_type_hints(record)
    columns: list[pa.Field] = []
    for name in record.model_fields:
        kinds = get_args(hints[name]) if isinstance(hints[name], types.UnionType) else (hints[name],)
        kind = next(kind for kind in kinds if kind is not type(None))
        columns.append(pa.field(name, TYPES[kind], nullable=len(kinds) > 1))
    return pa.schema(columns)
