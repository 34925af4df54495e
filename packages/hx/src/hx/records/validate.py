"""What `hx validate --json` prints."""

from __future__ import annotations

from pydantic import Field

from hx.records.reports import REPORT_VERSION, Report


class FindingEntry(Report):
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


class Change(Report):
    """What `--repair` rewrote."""

    code: str
    subject: str
    message: str = Field(description="What it was, and what it is now.")


class ValidateReport(Report):
    """What `hx validate` found."""

    schema_version: str = REPORT_VERSION
    model: str
    sidecar: str = Field(description="The file that was read; empty where it is inside the model's metadata.")
    valid: bool = Field(description="There are no findings; with `--repair`, none remain.")
    nodes: int = Field(description="In the model, nested graphs and functions included.")
    calls: int
    modules: int
    counts: dict[str, int] = Field(description="Findings by code.")
    findings: list[FindingEntry] = Field(description="With `--repair`, those that remain.")
    skipped: dict[str, str] = Field(description="Checks that could not be made, with the reason.")
    repaired: list[Change]
    refused: dict[str, str] = Field(description="Codes that `--repair` left alone, with the reason.")
    written: str | None = Field(description="The sidecar that `--repair` wrote; null where it wrote none.")
