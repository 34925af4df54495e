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

    schema_version: str = "1.2"
    model: FileName
    output: FileName = Field(description="The file, or the folder with its index.json.")
    compared_with: str | None = Field(description="`onnx`, `pytorch`, or null where nothing was compared.")
    mismatches: int = Field(description="Calls that differ from their original.")
    refused: int = Field(default=0, description="Extractable calls that were not extracted; their `reason` says why.")
    modules: list[ModuleEntry]
    removed: list[str] = Field(
        default_factory=list, description="Files of an earlier run into the same folder that it no longer holds."
    )

    @property
    def failed(self) -> bool:
        """Whether a call differs or was not extracted, though it is extractable."""
        return self.mismatches + self.refused > 0

    def __str__(self) -> str:
        """Return a sentence."""
        written = [entry for entry in self.modules if entry.file is not None]
        text = f"{plural(len(written), 'call')} cut out of {self.model}"
        left = sum(not entry.failed and entry.max_abs_error is None for entry in written)
        if written and self.compared_with is not None:
            equal = len(written) - left - self.mismatches
            states = ["all equal" if equal == len(written) else f"{equal} of {len(written)} equal"]
            states += [f"{self.mismatches} differ"] if self.mismatches else []
            states += [f"{left} not compared"] if left else []
            none = left == len(written)
            text += ", none of them compared" if none else f", compared with {self.compared_with}: {', '.join(states)}"
        return f"{text}; {self.refused} could not be cut out" if self.refused else text
