"""What nodes cost together: records that are printed as they are. Imports no onnx-ir."""

from pydantic import Field

from hx_sidecar_schema import Record


class Cost(Record):
    """What nodes cost together."""

    nodes: int
    macs: int = Field(description="Multiply-accumulates of matrix products, convolutions, recurrences, einsums.")
    other: int = Field(description="Other arithmetic, in processor instructions, as onnx-tool counts it.")
    parameters: int = Field(
        description="Elements of the weights that the nodes read, each weight once; sizes, indices and constants are not among them."
    )
    weight_bytes: int = Field(description="Of all initializers that the nodes read, each once.")
    activation_bytes: int = Field(
        description="Of all outputs of the nodes, views included; not what is in memory at once."
    )
    unknown_nodes: int = Field(description="Nodes whose multiply-accumulates are unknown, and in no count.")
    unsized_values: int = Field(description="Outputs whose size is unknown, and in no count.")


class UnknownOperator(Record):
    """An operator whose multiply-accumulates are unknown."""

    operator: str
    reason: str
    nodes: int


class TotalCost(Record):
    """Cost of all selected nodes, and what is not in it."""

    total: Cost
    input_shapes: dict[str, list[int] | None] = Field(description="Sizes that the counts are for.")
    unknown: list[UnknownOperator]
    uncounted: dict[str, int] = Field(
        description="Nodes by operator whose arithmetic is not in `other`; they have no multiply-accumulates."
    )
    once: int = Field(description="Nodes in bodies of If and Loop, counted once each: both branches, one iteration.")
