"""What `hx.tap` returns and `hx tap --json` prints."""

from pydantic import Field

from hx.records.report import File, Report
from hx.text import plural
from hx_sidecar_schema import FileName, Record


class TapEntry(Record):
    """An output of a call that the model hands out now."""

    name: str = Field(description="Of the new output.")
    fqn: str
    call: int = Field(description="0-based index among the module's calls.")
    tag: str
    port: str = Field(description="Name of the call's output.")
    value: str = Field(description="The value or initializer that it hands out.")
    dtype: str
    shape: list[int | str]


class LeftOut(Record):
    """A call of which an output could not be handed out."""

    fqn: str
    call: int
    tag: str
    reason: str


class TapReport(Report):
    """What `hx tap` did."""

    model: FileName
    file: File
    outputs: list[TapEntry] = Field(description="Behind the outputs that the model had, in this order.")
    left_out: list[LeftOut]

    def __str__(self) -> str:
        """Return a sentence."""
        left = f"; of {plural(len(self.left_out), 'call')} an output is left out" if self.left_out else ""
        return f"{self.model} hands out {plural(len(self.outputs), 'more value')} in {self.file.path}{left}"
