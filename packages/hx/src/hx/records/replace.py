"""What `hx.replace` returns and `hx replace --json` prints."""

from pydantic import Field

from hx.records.report import File, Finite, Report
from hx.text import number, plural
from hx_sidecar_schema import FileName, Record


class ReplacedCall(Record):
    """A call that something else stands in the place of."""

    fqn: str
    call: int = Field(description="0-based index among the module's calls.")
    tag: str
    added: int = Field(
        description="Nodes of the part that are new; those that compute as the call did stay as they were."
    )
    removed: int = Field(description="Nodes that are gone, those in bodies not counted.")
    weights_added: list[str]
    weights_removed: list[str]


class ReplaceReport(Report):
    """What `hx replace` did."""

    model: FileName
    part: FileName
    file: File
    calls: list[ReplacedCall]
    nodes: tuple[int, int] = Field(description="Before and after.")
    compared: bool = Field(description="Whether both models were run on the same inputs.")
    reason: str = Field(default="", description="Why they were not, where they should have been.")
    max_abs_error: Finite = Field(default=None, description="Largest difference of an output; null if infinite.")
    relative_error: Finite = Field(
        default=None, description="Largest difference of an output divided by that output's largest magnitude."
    )

    def __str__(self) -> str:
        """Return a sentence."""
        text = f"{self.part} stands for {plural(len(self.calls), 'call')} of {self.model} in {self.file.path}"
        if not self.compared:
            return text
        return (
            f"{text}, whose outputs differ by {number(self.relative_error) or 'more than numbers'} of the largest value"
        )
