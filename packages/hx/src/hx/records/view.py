"""What `hx.view` returns and `hx view --json` prints."""

from pydantic import Field

from hx.records.report import File, Report
from hx.text import plural
from hx_sidecar_schema import FileName


class ViewReport(Report):
    """What `hx view` wrote for a viewer."""

    model: FileName
    files: list[File]
    graphs: int = Field(description="The main graph, bodies and functions.")
    nodes: int = Field(description="Of all graphs.")
    numbers: list[str] = Field(description="What the nodes have numbers of, such as `time` or `macs`.")
    notes: list[str] = Field(description="What a reader of the numbers must know, in sentences.")

    def __str__(self) -> str:
        """Return a sentence."""
        numbers = f" with {', '.join(self.numbers)}" if self.numbers else ""
        return f"{self.model}: {plural(self.nodes, 'node')} in {plural(self.graphs, 'graph')}{numbers}; {plural(len(self.files), 'file')}"


class PageReport(Report):
    """What `hx report` wrote: one HTML page."""

    model: FileName
    file: File
    calls: int = Field(description="Rows of the module tree; modules that never ran among them.")
    nodes: int = Field(description="Of all graphs.")
    modules_only: bool = Field(description="The model has too many nodes for a page: it shows modules, and no node.")
    numbers: list[str] = Field(description="What is shown of calls and nodes, such as `time` or `macs`.")
    notes: list[str] = Field(description="What a reader of the numbers must know, in sentences.")

    def __str__(self) -> str:
        """Return a sentence."""
        numbers = f" with {', '.join(self.numbers)}" if self.numbers else ""
        return f"{self.model}: {plural(self.calls, 'call')}{numbers} in {self.file.path}"
