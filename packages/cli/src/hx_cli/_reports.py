"""What `--json` prints, and the rows of an `index.json`: API, like the schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

REPORT_VERSION = "1.0"


class Report(BaseModel):
    """One record on stdout."""

    model_config = ConfigDict(frozen=True)


class File(Report):
    """A file that a command wrote."""

    path: str
    size_bytes: int


class Verification(Report):
    """Numbers of the exported model beside those of the PyTorch module, on the example inputs."""

    status: str = Field(description="`match`, `mismatch`, or `not_checked`.")
    reason: str = Field(default="", description="Why it could not be checked, or what does not match.")
    max_abs_error: float | None = None
    relative_error: float | None = Field(
        default=None, description="Largest error of an output divided by that output's largest magnitude."
    )
    tolerance: float | None = Field(default=None, description="Largest `relative_error` that is a match.")
    worst_output: str | None = None


class ExportReport(Report):
    """What `hx export` did."""

    schema_version: str = REPORT_VERSION
    model: str
    class_name: str
    files: list[File]
    parameters: int = Field(description="Number of weights of the PyTorch module.")
    modules: int
    nodes: int
    exact_percent: float
    covered_percent: float
    calls: dict[str, int] = Field(description="Number of calls by status.")
    category_statistics: dict[str, Any]
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    static_axes: list[str] = Field(description="Axes asked to be dynamic that the model itself fixes.")
    notes: list[str] = Field(description="What was done differently than a plain export does it, and why.")
    verification: Verification | None = Field(description="Null with --no-verify.")
    seconds: dict[str, float] = Field(description="Wall time of each step.")


class PortEntry(Report):
    """One input or output of an extracted model."""

    name: str
    value: str | None = Field(description="The ONNX value or initializer of the parent model.")
    dtype: str
    shape: list[int | str]
    implicit: bool = False
    unused: bool = False


class ModuleEntry(Report):
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
    max_abs_error: float | None = Field(default=None, description="Where validated.")
    relative_error: float | None = Field(
        default=None, description="Largest error of an output divided by that output's largest magnitude."
    )


class ExtractReport(Report):
    """What `hx extract` did."""

    schema_version: str = REPORT_VERSION
    model: str
    output: str = Field(description="The file, or the folder with its index.json.")
    compared_with: str | None = Field(description="`onnx`, `pytorch`, or null where nothing was compared.")
    mismatches: int
    modules: list[ModuleEntry]


class TreeEntry(Report):
    """One call of the module tree, in execution order; a parent stands before its children."""

    fqn: str
    call: int
    tag: str
    class_name: str
    parent: int | None = Field(description="Position of the parent in this list.")
    depth: int
    status: str
    reason: str
    nodes: int = Field(description="Nodes of the call and of all calls below it.")
    own_nodes: int
    weights: int = Field(description="Elements of the initializers that these nodes read.")
    parameters: list[str]


class TreeReport(Report):
    """What `hx tree` shows."""

    schema_version: str = REPORT_VERSION
    model: str
    calls: list[TreeEntry]
