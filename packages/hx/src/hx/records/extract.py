"""What `hx.extract` returns and `hx extract --json` prints."""

from pydantic import Field

from hx.records.report import Finite, Report
from hx.text import plural
from hx_sidecar_schema import FileName, Record


class PortEntry(Record):
    """One input or output of an extracted model."""

    name: str
    value: str | None = Field(description="The ONNX value or initializer of the parent model.")
    dtype: str
    shape: list[int | str]
    implicit: bool = False
    unused: bool = False


class ModuleEntry(Record):
    """One call, in `index.json` and in what `hx extract --json` prints."""

    fqn: str
    call: int = Field(description="0-based index among the module's calls.")
    tag: str
    file: str | None = Field(description="Relative to the index; null where nothing was extracted.")
    status: str
    reason: str
    inputs: list[PortEntry]
    outputs: list[PortEntry]
    nodes: int = Field(default=0, description="Nodes of the extracted model.")
    failed: bool = Field(
        default=False, description="It differs from its original, or an extractable call was not extracted."
    )
    max_abs_error: Finite = Field(default=None, description="Where validated.")
    relative_error: Finite = Field(
        default=None, description="Largest error of an output divided by that output's largest magnitude."
    )


class ExtractReport(Report):
    """What `hx extract` did."""

    schema_version: str = "1.1"
    model: FileName
    output: FileName = Field(description="The file, or the folder with its index.json.")
    compared_with: str | None = Field(description="`onnx`, `pytorch`, or null where nothing was compared.")
    mismatches: int
    modules: list[ModuleEntry]
    removed: list[str] = Field(
        default_factory=list, description="Files of an earlier run into the same folder that it no longer holds."
    )

    def __str__(self) -> str:
        """Return a sentence."""
        written = [entry for entry in self.modules if entry.file is not None]
        text = f"{plural(len(written), 'call')} cut out of {self.model}"
        if self.compared_with is None:
            return text
        left = sum(not entry.failed and entry.max_abs_error is None for entry in written)
        if written and left == len(written) and not self.mismatches:
            return f"{text}, none of them compared"
        state = f"{self.mismatches} differ" if self.mismatches else "none differs" if left else "all equal"
        return f"{text}, compared with {self.compared_with}: {state}{f', {left} not compared' if left else ''}"
