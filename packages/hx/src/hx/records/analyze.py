"""What `hx analyze --json` prints."""

from pydantic import Field

from hx.records.report import Report
from hx.text import count, percent, plural
from hx_projector import CATEGORIES, Cost, TotalCost
from hx_sidecar_schema import FileName, Record, Table

__all__ = ["CATEGORIES", "AnalyzeReport", "CallEntry", "CategoryEntry", "Cost", "NodeEntry", "TagEntry", "TotalCost"]

ROWS_IN_NOTEBOOKS = 60


class CategoryEntry(Record):
    """Coverage of one operator category."""

    name: str
    total: int
    covered: int
    exact: int
    covered_percent: float
    exact_percent: float
    threshold: float | None = Field(description="Percent that should be covered; null for uncategorised operators.")
    critical: bool
    below: bool = Field(description="Whether less is covered than the threshold says.")
    operators: dict[str, int] = Field(description="Nodes by operator, most first.")


class TagEntry(Record):
    """A tag that nodes show."""

    tag: str
    nodes: int


class CallEntry(Record):
    """One module call; a parent stands before its children."""

    fqn: str
    call: int
    tag: str
    class_name: str
    tagged: bool
    parent: int | None = Field(description="Position of the parent in this list.")
    depth: int
    nodes: int = Field(description="Nodes of the call and of all calls below it.")
    own_nodes: int
    total: Cost | None = Field(description="Of the call and all calls below it; null without the .onnx file.")
    own: Cost | None


class NodeEntry(Record):
    """One node, with --detailed."""

    graph: str
    output: str
    op_type: str
    category: str
    fqn: str
    call: int
    tag: str
    evidence: str
    confidence: str
    known: bool = Field(description="False where nothing is known, and the root stands in.")
    macs: int | None = Field(description="Null where unknown.")
    other: int | None
    activation_bytes: int | None


class AnalyzeReport(Report):
    """What `hx analyze` found. With --module or --category, all of it is about the nodes that these select."""

    schema_version: str = "1.1"
    model: FileName
    graph_digest: str = Field(
        default="", description="`model.graph_digest` of its sidecar; empty in records of older versions."
    )
    modules: list[str] = Field(description="Patterns of --module.")
    category: str | None
    nodes: int
    exact_percent: float
    covered_percent: float
    unique_tags: int
    tags: list[TagEntry] = Field(description="Most nodes first.")
    evidence: dict[str, int] = Field(
        description="Nodes by evidence and confidence, as `exporter, high`; and `not known`."
    )
    categories: list[CategoryEntry]
    cost: TotalCost | None = Field(description="Null where the .onnx file is missing.")
    calls: list[CallEntry]
    node_list: list[NodeEntry] | None = Field(description="With --detailed, else null.")
    fail_under: float | None
    passed: bool = Field(description="Whether `covered_percent` is not below `fail_under`.")

    def __str__(self) -> str:
        """Return a sentence."""
        total = self.cost and self.cost.total
        cost = f"; {count(total.macs)} MACs, {count(total.parameters)} parameters" if total else ""
        return (
            f"{self.model}: {plural(self.nodes, 'node')}, {percent(self.exact_percent)} exact, "
            f"{percent(self.covered_percent)} covered{cost}"
        )

    def _table(self) -> Table:
        def cells(call: CallEntry) -> tuple[object, ...]:
            total = call.total
            costs = (total.parameters, total.macs, total.activation_bytes) if total else ()
            return "    " * call.depth + call.tag.rsplit("/", 1)[-1], call.fqn, call.nodes, *costs

        rows = [cells(call) for call in self.calls[:ROWS_IN_NOTEBOOKS]]
        columns = ("module", "name", "nodes", *(("parameters", "MACs", "bytes of results") if self.cost else ()))
        more = len(self.calls) - len(rows)
        return Table(str(self), columns, rows, note=f"and {more} more calls" if more else "")
