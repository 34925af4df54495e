"""What `validate` finds and `repair` rewrites: records that are printed as they are. Imports no onnx-ir."""

from __future__ import annotations

from pydantic import Field

from hx_projector.validation.codes import MEANINGS
from hx_sidecar_schema import Record


class Finding(Record):
    """One thing that is not as it must be."""

    code: str = Field(description="Stable, `V` and two digits; docs/validate.md lists them.")
    subject: str = Field(
        description="A node as `graph:output`, a call or module as its fqn (`@1` for a later call), or a part of the "
        "sidecar."
    )
    message: str = Field(description="What is wrong with it, with the values.")
    meaning: str = Field(description="What the code means.")
    remedy: str = Field(description="One thing to do.")
    repairable: bool = Field(description="Whether `--repair` can rewrite it, where nothing else is wrong.")

    @classmethod
    def of(cls, code: str, subject: str, message: str) -> Finding:
        """Return a finding with the meaning and remedy of its code."""
        meaning = MEANINGS[code]
        return cls(
            code=code,
            subject=subject,
            message=message,
            meaning=meaning.title,
            remedy=meaning.remedy,
            repairable=meaning.repairable,
        )


class Change(Record):
    """What `--repair` rewrote."""

    code: str
    subject: str
    message: str = Field(description="What it was, and what it is now.")
