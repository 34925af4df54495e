"""What one run in PyTorch computed, told by fingerprints: nothing here is a tensor."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hx_sidecar_schema._records import Record

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
    reads: list[int] = Field(default_factory=list, description="Rows of the tensors that it was given.")
    variable: bool = Field(default=True, description="Whether it depends on an input of the model.")
    value: Fingerprint
    sized: list[int] = Field(default_factory=list, description="Rows of the calls that asked for a size of the tensor.")
    repeated: list[int] = Field(
        default_factory=list,
        description="Rows of the calls that ran operations which handed the tensor on unchanged, in order.",
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
