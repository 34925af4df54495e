"""What all records have in common."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BeforeValidator

from hx_sidecar_schema import Record

REPORT_VERSION = "1.0"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


Finite = Annotated[float | None, BeforeValidator(_finite)]
"""A number, or null where it is infinite or none: JSON has no infinity."""


class Report(Record):
    """One record on stdout."""


class File(Report):
    """A file that a command wrote."""

    path: str
    size_bytes: int
