"""What `hx.project` returns and `hx project --json` prints."""

from pydantic import Field

from hx.records.report import File, Report
from hx.text import percent, plural
from hx_sidecar_schema import FileName


class ProjectReport(Report):
    """What `hx project` did."""

    schema_version: str = "1.1"
    model: FileName
    exporter: str = Field(description="What the file says of its producer.")
    file: File
    modules: int
    nodes: int
    exact_percent: float
    covered_percent: float
    calls: dict[str, int] = Field(description="Number of calls by status.")
    evidence: dict[str, int] = Field(description="Number of nodes by evidence and confidence; and `not known`.")
    notes: list[str] = Field(default_factory=list, description="What could not be found, and why.")

    def __str__(self) -> str:
        """Return a sentence."""
        return (
            f"{self.model}: {plural(self.nodes, 'node')} of {plural(self.modules, 'module')}, "
            f"{percent(self.exact_percent)} exact, {percent(self.covered_percent)} covered; in {self.file.path}"
        )
