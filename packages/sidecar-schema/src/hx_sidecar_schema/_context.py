"""What the tracer saw: handed to the projector, and kept on request for debugging. Nothing here is a tensor."""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hx_sidecar_schema._records import (
    STORED_NAMES,
    Example,
    Initializer,
    Module,
    ModuleCall,
    Provenance,
    Record,
    RecoveredNode,
    listed,
)

CONTEXT_VERSION = "1.3"
SAMPLE = 64
"""Values that a fingerprint holds at most."""


def _from_json(value: Any) -> Any:
    return math.nan if value is None else value


Number = Annotated[float, BeforeValidator(_from_json, json_schema_input_type=float | None)]
"""JSON has neither NaN nor infinities: null, which is read as NaN."""


class Fingerprint(Record):
    """What tells a tensor from another. Tensors that are equal up to rounding have fingerprints that are so too."""

    dtype: str = Field(description="ONNX element type name.")
    shape: list[int]
    sample: list[Number] = Field(
        description="Values at `sample_positions` of the flattened tensor; booleans as 0 and 1, NaN and infinities "
        "as null."
    )
    mean: Number = Field(description="Of all values, in float64.")
    mean_square: Number
    constant: bool = Field(description="All values are one: many tensors look so, and it names none of them.")


class Operation(Record):
    """A tensor that one operation returned, or that no operation made: an input, a parameter."""

    call: int | None = Field(description="Row of the innermost call that ran it; null where none did.")
    name: str = Field(description="Of the operation, for people.")
    reads: list[int] = listed("Rows of the tensors that it was given.")
    variable: bool = Field(default=True, description="Whether it depends on an input of the model.")
    value: Fingerprint
    sized: list[int] = listed("Rows of the calls that asked for a size of the tensor.")
    repeated: list[int] = listed(
        "Rows of the calls that ran operations which handed the tensor on unchanged, in order."
    )


class PortValue(Record):
    """A tensor that crossed the boundary of a call."""

    call: int
    side: Literal["inputs", "outputs"]
    port: str
    value: Fingerprint


class Observation(Record):
    """One run of a model in PyTorch, in the order of execution.

    An operation that handed an argument on unchanged (a view of the same shape, dropout) is left out: it computed
    nothing that could be told from what it was given.
    """

    operations: list[Operation] = Field(default_factory=list)
    ports: list[PortValue] = Field(default_factory=list)


def sample_positions(size: int) -> list[int]:
    """Return up to `SAMPLE` positions, in rising order, spread over a flattened tensor of `size` values.

    They are no multiples of one step, which rows of equal length would repeat.
    """
    if size <= SAMPLE:
        return list(range(size))
    golden = 0.6180339887498949  # the sequence i*golden mod 1 is the most even that there is
    return sorted({int(size * ((index * golden) % 1.0)) for index in range(SAMPLE)})


class ModuleContext(Record):
    """Modules, calls with their ports, and the exporter's own evidence for every node.

    Ports carry values of the final graph. A port with neither value nor initializer, and not `unused`, was
    removed by the exporter's optimisation and could not be recovered.
    """

    schema_version: str = CONTEXT_VERSION
    generator: Provenance
    modules: list[Module]
    calls: list[ModuleCall]
    origins: dict[str, list[int]] = Field(
        default_factory=dict,
        description="First output of a node of the main graph to the calls that ran its operation: the exporter's "
        "own record. Several where its optimiser made one node of the operations of several calls.",
    )
    unsure_calls: list[int] = listed(
        "Calls that `origins` name, of modules with several whose nodes are not told apart."
    )
    unsure_nodes: list[str] = listed(
        "Keys of `origins` that also stand for an operation of a module that the record does not name; of "
        "those that it has the first is named, the second around it."
    )
    dead_calls: list[int] = listed("Calls whose results reached no output before optimisation.")
    folded_calls: list[int] = listed("Calls whose results depend on no input of the model.")
    recovered: list[RecoveredNode] = Field(default_factory=list)
    sizes: dict[str, str] = Field(
        default_factory=dict,
        description="Scalar INT64 values that hold a size, with the expression over symbols that shapes use too.",
    )
    initializers: list[Initializer] = Field(default_factory=list)
    stored_names: dict[str, str] = STORED_NAMES
    observation: Observation | None = Field(
        default=None, description="A run in PyTorch, for the witness; null where none was asked for."
    )
    examples: dict[str, Example] = Field(default_factory=dict, description="Model input name to its value.")
