"""What all records have in common."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

REPORT_VERSION = "1.0"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


Finite = Annotated[float | None, BeforeValidator(_finite)]
"""A number, or null where it is infinite or none: JSON has no infinity."""


class Report(BaseModel):
    """One record on stdout."""

    model_config = ConfigDict(frozen=True)


class File(Report):
    """A file that a command wrote."""

    path: str
    size_bytes: int
