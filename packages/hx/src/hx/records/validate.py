"""What `hx validate --json` prints."""

from pydantic import Field

from hx.records.report import Report
from hx.text import plural
from hx_projector import Change, Finding
from hx_sidecar_schema import FileName

__all__ = ["Change", "Finding", "ValidateReport"]


class ValidateReport(Report):
    """What `hx validate` found."""

    model: FileName
    sidecar: FileName = Field(
        description="The file that was read; empty where it is inside the model's metadata, or in memory."
    )
    valid: bool = Field(description="There are no findings; with `--repair`, none remain.")
    nodes: int = Field(description="In the model, nested graphs and functions included.")
    calls: int
    modules: int
    counts: dict[str, int] = Field(description="Findings by code.")
    findings: list[Finding] = Field(description="With `--repair`, those that remain.")
    skipped: dict[str, str] = Field(description="Checks that could not be made, with the reason.")
    repaired: list[Change]
    refused: dict[str, str] = Field(description="Codes that `--repair` left alone, with the reason.")
    written: FileName | None = Field(description="The sidecar that `--repair` wrote; null where it wrote none.")

    def __str__(self) -> str:
        """Return a sentence."""
        if self.valid:
            return f"{self.model}: nothing is wrong"
        first = self.findings[0]
        return f"{self.model}: {plural(len(self.findings), 'finding')}, the first {first.code}: {first.message}"
