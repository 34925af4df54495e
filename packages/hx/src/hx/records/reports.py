"""What `--json` prints, and the rows of an `index.json`: API, like the schema."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

REPORT_VERSION = "1.0"


def finite(value: float | None) -> float | None:
    """Return a number, or None where it is none: JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None


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


class NodeDisagreement(Report):
    """A node that two sources of evidence give to different calls."""

    output: str = Field(description="Its first output.")
    op_type: str
    evidence: str = Field(description="The stronger source, which decided.")
    owner: str = Field(description="Tag of the call that it gives the node to.")
    against: str = Field(description="The weaker source.")
    other: str = Field(description="Tag of the call that that one gives it to.")


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
    strategy: str
    disagreements: list[NodeDisagreement] = Field(description="Of all sources that the strategy asks.")
    verification: Verification | None = Field(description="Null with --no-verify.")
    seconds: dict[str, float] = Field(description="Wall time of each step.")


class ProjectReport(Report):
    """What `hx project` did."""

    schema_version: str = REPORT_VERSION
    model: str
    exporter: str = Field(description="What the file says of its producer.")
    file: File
    modules: int
    nodes: int
    exact_percent: float
    covered_percent: float
    calls: dict[str, int] = Field(description="Number of calls by status.")
    evidence: dict[str, int] = Field(description="Number of nodes by evidence and confidence.")


class NodeGroup(Report):
    """Nodes of one module, or of equal modules that differ in numbers alone."""

    module: str | None = Field(
        description="Qualified name, `*` for numbers in which equal modules differ; empty for the root, null where unknown."
    )
    modules: int = Field(description="Number of modules that this stands for.")
    operators: dict[str, int] = Field(description="Nodes of each of them by operator.")
    nodes: list[str] = Field(description="First outputs of all nodes.")


class Divergence(Report):
    """A place where two graphs part: all that leads to it is shared."""

    node: str = Field(description="First output of the node in the left graph.")
    op_type: str
    module: str | None = Field(description="Its qualified name; empty for the root, null where unknown.")
    other: str | None = Field(
        description="First output of the node that reads the same values in the right graph."
    )
    other_op_type: str | None


class CompareReport(Report):
    """What `hx compare` found."""

    schema_version: str = REPORT_VERSION
    left: str
    right: str
    same: bool
    digests: tuple[str, str] = Field(description="SHA-256 of each topology, independent of names and order.")
    nodes: tuple[int, int]
    inputs: list[str] = Field(default_factory=list, description="What differs between their inputs.")
    outputs: list[str] = Field(default_factory=list, description="What differs between their outputs.")
    elsewhere: list[str] = Field(default_factory=list, description="Other opset imports, other functions.")
    operators: dict[str, tuple[int, int]] = Field(
        default_factory=dict, description="Operators that they have in different numbers."
    )
    divergence: list[Divergence] = Field(default_factory=list[Divergence])
    removed: list[NodeGroup] = Field(
        default_factory=list[NodeGroup], description="Nodes that the left graph alone has."
    )
    added: list[NodeGroup] = Field(
        default_factory=list[NodeGroup], description="Nodes that the right graph alone has."
    )
    rewired: list[NodeGroup] = Field(
        default_factory=list[NodeGroup], description="Nodes that both have, reading from other places."
    )


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


class Numbers(Report):
    """One output of a call beside PyTorch's: of several outputs the one with the largest relative error."""

    port: str
    max_abs_error: float | None = Field(description="Null where infinite: see `reason`.")
    max_relative_error: float | None = Field(
        description="Largest |expected - actual| / (|expected| + 1e-7) of an element; null where infinite."
    )
    relative_error: float | None = Field(
        description="Largest error divided by the output's largest magnitude; null where infinite. Of integers and "
        "bools: the largest error."
    )
    cosine_similarity: float | None = Field(description="Null where the shapes differ.")
    snr_db: float | None = Field(
        description="Signal-to-noise ratio; null where infinite: the outputs are equal, or the shapes differ."
    )
    expected_nan: int = Field(description="NaNs in PyTorch's output.")
    expected_inf: int = Field(description="Infinities in PyTorch's output.")
    actual_nan: int = Field(description="NaNs in the ONNX model's output.")
    actual_inf: int = Field(description="Infinities in the ONNX model's output.")
    reason: str = Field(description="Why errors are infinite: another shape, NaN in other places.")


class VerifyEntry(Report):
    """One call, in execution order; a parent stands before its children."""

    fqn: str
    call: int = Field(description="0-based index among the module's calls.")
    tag: str
    parent: int | None = Field(description="Position of the parent in this list.")
    status: str
    reason: str = Field(description="Why there are no numbers, or not all.")
    limit: float = Field(
        description="Local error beyond which it is wrong: `fail_over`, or found from the model."
    )
    wrong: bool = Field(description="Its local error is beyond `limit` and not explained by calls inside it.")
    local: Numbers | None = Field(
        description="The call alone, on the inputs that the PyTorch module got; null where not compared."
    )
    accumulated: Numbers | None = Field(
        description="The whole ONNX model beside the whole PyTorch model, at this call's outputs."
    )
    inputs_from_onnx: list[str] = Field(
        description="Inputs of the local run that no PyTorch module had as argument: the ONNX model's own."
    )
    nodes_of_others: list[str] = Field(
        description="Nodes of calls outside that the local run computes from this call's inputs, by output value."
    )


class VerifyReport(Report):
    """What `hx verify` found."""

    schema_version: str = REPORT_VERSION
    model: str
    original: str | None = Field(description="The export that a transformed model was made of (--from).")
    against: str
    inputs: str = Field(description="`recorded`, or the file of --inputs.")
    memory_bytes: int
    batches: int = Field(description="How often both models ran, to stay within `memory_bytes`.")
    fail_over: float | None
    failed: bool = Field(description="The exit code is 1.")
    culprit: int | None = Field(
        description="Position in `calls` of the first wrong call without a wrong call inside; null where none is."
    )
    compared: int = Field(description="Calls with a local error.")
    calls: list[VerifyEntry]
