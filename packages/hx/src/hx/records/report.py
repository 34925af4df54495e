"""What all records have in common."""

import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator

from hx_sidecar_schema import FileName, Record, Sidecar

Finite = Annotated[float | None, BeforeValidator(lambda x: x if x is not None and math.isfinite(x) else None)]
"""A number, or null where it is infinite or none: JSON has no infinity."""


class Report(Record):
    """What a function of hx returns and its command prints with `--json`."""

    schema_version: str = "1.0"


class File(Record):
    """A file that a command wrote."""

    path: FileName
    size_bytes: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the record of a file that is there."""
        return cls(path=str(path), size_bytes=path.stat().st_size)


def counts_of(sidecar: Sidecar) -> dict[str, Any]:
    """Return the fields that reports about a sidecar share: how many nodes there are, how they are known, and the calls."""
    return sidecar.summary.model_dump(exclude={"category_statistics"}) | {"calls": statuses_of(sidecar)}


def statuses_of(sidecar: Sidecar) -> dict[str, int]:
    """Return the number of calls by status."""
    return dict(Counter(call.status for call in sidecar.calls))
