"""What `hx modules` and `hx nodes --json` print."""

from typing import Any

from pydantic import Field

from hx.records.report import Report
from hx.text import plural
from hx_sidecar_schema import FileName, Record


class ModuleRecord(Record):
    """One `nn.Module`: metadata only, never a tensor."""

    fqn: str = Field(description="First name in `named_modules` order; empty for the root.")
    class_name: str = Field(description="Qualified: package.module.Class.")
    tag: str = Field(description="Class path from the root; names exactly one module.")
    tagged: bool = Field(description="Whether nodes show this tag, or their nearest tagged ancestor's.")
    depth: int = Field(description="Modules above it; 0 for the root.")
    parent: str | None = Field(description="Qualified name of the module around it; null for the root.")
    aliases: list[str] = Field(description="Other names of the same module.")
    forward_args: list[str] = Field(description="Parameters of `forward()`.")
    forward_defaults: dict[str, Any] = Field(
        description="Those of them with a default; JSON values as they are, anything else as its repr."
    )
    parameters: list[str] = Field(description="All parameters below, relative names.")
    direct_parameters: list[str]
    children: dict[str, str] = Field(description="Attribute to class.")
    calls: int = Field(description="How often `forward()` ran.")


class ModulesReport(Report):
    """What `hx modules` prints."""

    model: FileName
    hierarchy_depth: int = Field(description="Largest `depth` of a module of the whole model.")
    modules: list[ModuleRecord] = Field(description="A parent stands before its children.")
    expected_hierarchy: dict[str, str] = Field(
        description="Qualified name to the tag that the module's nodes show: its own, or of its nearest tagged ancestor."
    )
    module_to_operations: dict[str, list[str]] = Field(
        description="Tag to the nodes that show it, by first output; in a body or function as `graph:output`. A later "
        "call's tag ends in `@1`, `@2`."
    )
    operation_hierarchy: dict[str, str] = Field(description="The same the other way: node to tag.")

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.model}: {plural(len(self.modules), 'module')}, {plural(len(self.operation_hierarchy), 'node')}"


class NamedNode(Record):
    """One node of a call."""

    name: str = Field(description="Its name in the file; may be empty.")
    op_type: str
    graph: str = Field(description="Path of the body or function; empty for the main graph.")
    output: str = Field(description="First output: with `graph`, the node's identity.")
    tag: str = Field(description="Of the call that owns it.")


class NodesReport(Report):
    """What `hx nodes --json` prints."""

    schema_version: str = "1.1"
    model: FileName
    calls: list[str] = Field(description="Tags of the calls that the patterns name.")
    own: bool = Field(description="Without the nodes of calls inside these.")
    nodes: list[NamedNode] = Field(description="In the order of the file.")
    shared: list[str] = Field(
        description="Names of these nodes that nodes elsewhere have too: a tool that is given one takes all of that name."
    )

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.model}: {plural(len(self.nodes), 'node')} of {plural(len(self.calls), 'call')}"
