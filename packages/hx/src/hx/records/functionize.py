"""What `hx.functionize` and `hx.inline` return and their commands print with `--json`."""

from pydantic import Field

from hx.records.report import File, Report
from hx.text import plural
from hx_sidecar_schema import FileName, Record


class FunctionEntry(Record):
    """A function, with the calls that it stands for."""

    domain: str
    name: str
    class_name: str = Field(description="Of the modules.")
    inputs: list[str] = Field(description="Arguments of `forward()` first, then weights and sizes.")
    outputs: list[str]
    nodes: int = Field(description="Its own, nodes that call other functions included.")
    calls: list[str] = Field(description="Tags of the calls, as they run.")


class FunctionizeReport(Report):
    """What `hx functionize` did."""

    model: FileName
    file: File
    functions: list[FunctionEntry] = Field(description="In the order of their first calls.")
    nodes: int = Field(description="Of the main graph.")
    inlined_nodes: int = Field(description="Of the main graph once functions are inlined.")
    left: list[str] = Field(
        description="Tags of calls that are no functions: what they read depends on what they give, so no one node can stand for them."
    )

    def __str__(self) -> str:
        """Return a sentence."""
        calls = plural(sum(len(function.calls) for function in self.functions), "call")
        return (
            f"{self.model}: {plural(len(self.functions), 'function')} for {calls}, {plural(self.nodes, 'node')} "
            f"in the main graph instead of {self.inlined_nodes}; in {self.file.path}"
        )


class InlineReport(Report):
    """What `hx inline` did."""

    model: FileName
    file: File
    nodes: int = Field(description="Of the main graph.")
    functions: int = Field(description="How many there were.")

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.model}: {plural(self.functions, 'function')} inlined, {plural(self.nodes, 'node')}; in {self.file.path}"
