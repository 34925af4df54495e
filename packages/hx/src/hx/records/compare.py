"""What `hx.compare` returns and `hx compare --json` prints."""

from pydantic import Field

from hx.records.report import Report
from hx.text import plural
from hx_sidecar_schema import FileName, Record, Table


class NodeGroup(Record):
    """Nodes of one module, or of equal modules that differ in numbers alone."""

    module: str | None = Field(
        description="Qualified name, `*` for numbers in which equal modules differ; empty for the root, null where unknown."
    )
    modules: int = Field(description="Number of modules that this stands for.")
    operators: dict[str, int] = Field(description="Nodes of each of them by operator.")
    nodes: list[str] = Field(description="First outputs of all nodes.")


class Divergence(Record):
    """A place where two graphs part: all that leads to it is shared."""

    node: str = Field(description="First output of the node in the left graph.")
    op_type: str
    module: str | None = Field(description="Its qualified name; empty for the root, null where unknown.")
    other: str | None = Field(description="First output of the node that reads the same values in the right graph.")
    other_op_type: str | None


class AttributeChange(Record):
    """An attribute in which two nodes differ that are of one operator and read the same."""

    node: str = Field(description="First output of the node in the left graph.")
    other: str = Field(description="That of the right graph.")
    op_type: str
    module: str | None = Field(description="Its qualified name; empty for the root, null where unknown.")
    name: str = Field(description="Of the attribute.")
    left: str = Field(description="Its value in words; of tensors type, shape and digest.")
    right: str


class CompareReport(Report):
    """What `hx compare` found."""

    left: FileName
    right: FileName
    same: bool
    digests: tuple[str, str] = Field(description="SHA-256 of each topology, independent of names and order.")
    nodes: tuple[int, int]
    inputs: list[str] = Field(default_factory=list, description="What differs between their inputs.")
    outputs: list[str] = Field(default_factory=list, description="What differs between their outputs.")
    elsewhere: list[str] = Field(default_factory=list, description="Other opsets of operators, other functions.")
    operators: dict[str, tuple[int, int]] = Field(
        default_factory=dict, description="Operators that they have in different numbers."
    )
    divergence: list[Divergence] = Field(default_factory=list[Divergence])
    attributes: list[AttributeChange] = Field(
        default_factory=list[AttributeChange],
        description="Of nodes that each graph alone has, and that are of one operator and read the same.",
    )
    removed: list[NodeGroup] = Field(
        default_factory=list[NodeGroup], description="Nodes that the left graph alone has."
    )
    added: list[NodeGroup] = Field(default_factory=list[NodeGroup], description="Nodes that the right graph alone has.")
    rewired: list[NodeGroup] = Field(
        default_factory=list[NodeGroup], description="Nodes that both have, reading from other places."
    )

    def __str__(self) -> str:
        """Return a sentence."""
        if self.same:
            return f"{self.left} and {self.right} have the same topology: {plural(self.nodes[0], 'node')}"
        counts = [f"{sum(len(g.nodes) for g in groups)} {kind}" for kind, groups in self._kinds().items() if groups]
        return f"{self.left} and {self.right} differ: {', '.join(counts) or 'in inputs, outputs or opsets'}"

    def _kinds(self) -> dict[str, list[NodeGroup]]:
        return {"only left": self.removed, "only right": self.added, "rewired": self.rewired}

    def _table(self) -> Table:
        rows = [
            (kind, "unknown" if g.module is None else g.module or "the model itself", g.modules, name, amount)
            for kind, groups in self._kinds().items()
            for g in groups
            for name, amount in g.operators.items()
        ]
        return Table(str(self), ("", "module", "modules", "operator", "nodes in each"), rows)
