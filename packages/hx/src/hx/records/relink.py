"""What `hx relink --json` prints."""

from pydantic import Field

from hx.records.report import File, Report
from hx.text import percent, plural
from hx_sidecar_schema import FileName, Record


class SpanningNode(Record):
    """A node that stands for operations of several calls."""

    output: str = Field(description="Its first output.")
    op_type: str
    owner: str = Field(description="Tag of the call that these have in common.")
    covers: list[str] = Field(description="Tags of the calls.")
    originals: list[str] = Field(description="The original's nodes that it stands for, by first output.")


class RelinkReport(Report):
    """What `hx relink` did."""

    model: FileName
    original: FileName
    file: File
    nodes: int
    original_nodes: int
    exact_percent: float
    covered_percent: float
    calls: dict[str, int] = Field(description="Number of calls by status.")
    original_calls: dict[str, int] = Field(description="The same of the original.")
    spanning: list[SpanningNode]
    unsure: dict[str, int] = Field(description="Nodes by confidence, of those that are not known with high confidence.")

    def __str__(self) -> str:
        """Return a sentence."""
        return (
            f"{self.model}, made of {self.original}: {plural(self.nodes, 'node')}, "
            f"{percent(self.exact_percent)} exact, {percent(self.covered_percent)} covered; in {self.file.path}"
        )
