"""What `hx.split` and `hx.join` return, and their commands print with `--json`."""

from pydantic import Field

from hx.records.report import File, Report
from hx.text import plural
from hx_sidecar_schema import FileName
from hx_surgery import Stage, Wire

__all__ = ["JoinReport", "SplitReport", "Stage", "Wire"]


class SplitReport(Report):
    """What `hx split` did."""

    model: FileName
    output: FileName = Field(description="The folder with its `stages.json`; the file, with --annotate.")
    annotated: bool = Field(description="Whether the nodes of one model name their stages, and nothing was cut.")
    by: str | None = Field(description="What was balanced: `weights`, `macs` or `time`; null where places were named.")
    stages: list[Stage]
    size_bytes: int = Field(description="Of the models and their data, without sidecars.")
    compared: bool | None = Field(
        description="Whether every stage gives what the whole model does, bit for bit; null where nothing was compared."
    )
    notes: list[str] = Field(description="What a reader of the numbers must know, in sentences.")
    removed: list[str] = Field(description="Files of an earlier run into the same folder that it no longer holds.")

    def __str__(self) -> str:
        """Return a sentence."""
        state = {True: ", equal bit for bit", False: ", not equal", None: ""}[self.compared]
        return f"{self.model} in {plural(len(self.stages), 'stage')} in {self.output}{state}"


class JoinReport(Report):
    """What `hx join` did."""

    model: FileName = Field(description="`stages.json`, or its folder.")
    file: File
    stages: int
    nodes: int = Field(description="Of all graphs.")
    same: bool = Field(description="Whether it is the graph that was split, by its digest.")

    def __str__(self) -> str:
        """Return a sentence."""
        what = "the graph that was split" if self.same else "a changed graph"
        return f"{plural(self.stages, 'stage')} of {self.model} are {what} in {self.file.path}"
