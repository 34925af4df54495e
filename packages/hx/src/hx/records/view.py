"""What `hx.view` and `hx.report` return, and their commands print with `--json`."""

from pydantic import Field

from hx.records.report import File, Report
from hx.text import plural
from hx_sidecar_schema import FileName


class ShownReport(Report):
    """A model that was written for people to look at."""

    model: FileName
    nodes: int = Field(description="Of all graphs.")
    numbers: list[str] = Field(description="What is shown of calls and nodes, such as `time` or `macs`.")
    notes: list[str] = Field(description="What a reader of the numbers must know, in sentences.")

    def _with_numbers(self) -> str:
        return f" with {', '.join(self.numbers)}" if self.numbers else ""


class ViewReport(ShownReport):
    """What `hx view` wrote for a viewer."""

    files: list[File]
    graphs: int = Field(description="The main graph, bodies and functions.")

    def __str__(self) -> str:
        """Return a sentence."""
        held = f"{plural(self.nodes, 'node')} in {plural(self.graphs, 'graph')}{self._with_numbers()}"
        return f"{self.model}: {held}; {plural(len(self.files), 'file')}"


class PageReport(ShownReport):
    """What `hx report` wrote: one HTML page."""

    file: File
    calls: int = Field(description="Rows of the module tree; modules that never ran among them.")
    modules_only: bool = Field(description="The model has too many nodes for a page: it shows modules, and no node.")
    against: FileName | None = Field(default=None, description="What it is compared with; null where it is alone.")

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.model}: {plural(self.calls, 'call')}{self._with_numbers()} in {self.file.path}"
