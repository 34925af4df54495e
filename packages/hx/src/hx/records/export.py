"""What `hx.export` returns and `hx export --json` prints."""

from typing import Any

from pydantic import Field

from hx.records.report import File, Report
from hx.text import number, percent, plural
from hx_sidecar_schema import Record


class Verification(Record):
    """Numbers of the exported model beside those of the PyTorch module, on the example inputs."""

    status: str = Field(description="`match`, `mismatch`, or `not_checked`.")
    reason: str = Field(
        default="", description="Why it could not be checked, what does not match, or why so large an error is a match."
    )
    max_abs_error: float | None = None
    relative_error: float | None = Field(
        default=None, description="Largest error of an output divided by that output's largest magnitude."
    )
    tolerance: float | None = Field(default=None, description="Largest `relative_error` that is a match.")
    worst_output: str | None = None

    def __str__(self) -> str:
        """Return a sentence."""
        if self.status == "match":
            why = f": {self.reason}" if self.reason else ""
            return f"equal to PyTorch's within {number(self.relative_error)} of the largest value{why}"
        size = f" by {number(self.relative_error)} of its largest value" if self.relative_error else ""
        return f"{self.status.replace('_', ' ')}: {self.reason}{size}"


class NodeDisagreement(Record):
    """A node that two sources of evidence give to different calls."""

    output: str = Field(description="Its first output.")
    op_type: str
    evidence: str = Field(description="The stronger source, which decided.")
    owner: str = Field(description="Tag of the call that it gives the node to.")
    against: str = Field(description="The weaker source.")
    other: str = Field(description="Tag of the call that that one gives it to.")


class ExportReport(Report):
    """What `hx export` did."""

    model: str
    class_name: str
    files: list[File]
    parameters: int = Field(description="Number of weights of the PyTorch module.")
    modules: int
    nodes: int
    exact_percent: float
    covered_percent: float
    calls: dict[str, int] = Field(description="Number of calls by status.")
    category_statistics: dict[str, Any]
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    static_axes: list[str] = Field(description="Axes asked to be dynamic that the model itself fixes.")
    notes: list[str] = Field(description="What was done differently than a plain export does it, and why.")
    strategy: str
    disagreements: list[NodeDisagreement] = Field(description="Of all sources that the strategy asks.")
    verification: Verification | None = Field(description="Null with --no-verify.")
    seconds: dict[str, float] = Field(description="Wall time of each step.")

    def __str__(self) -> str:
        """Return a sentence."""
        checked = "" if self.verification is None else f"; outputs {self.verification}"
        return (
            f"{self.model}: {plural(self.nodes, 'node')} of {plural(self.modules, 'module')}, "
            f"{percent(self.exact_percent)} exact, {percent(self.covered_percent)} covered{checked}"
        )
