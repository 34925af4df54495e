"""What `hx.demo` returns."""

from pydantic import Field

from hx.records.export import ExportReport
from hx.records.extract import ExtractReport
from hx.records.tree import TreeReport
from hx_sidecar_schema import Record


class DemoReport(Record):
    """What the demo did, step by step."""

    model: str = Field(description="The exported model.")
    export: ExportReport
    tree: TreeReport
    extract: ExtractReport
    inputs: dict[str, list[int]] = Field(description="Shapes that the extracted model was run at.")
    outputs: dict[str, list[int]] = Field(description="Shapes that it gave.")
    finite: bool = Field(description="Whether all that it gave is finite.")

    @property
    def passed(self) -> bool:
        """Whether every number is what it should be."""
        checked = self.export.verification
        return not (checked is not None and checked.status == "mismatch") and not self.extract.failed

    def __str__(self) -> str:
        """Say what there is now, and what to do with it."""
        return f"{self.model} is a small BERT with its hierarchy. Go on with hx.load({self.model!r})."
