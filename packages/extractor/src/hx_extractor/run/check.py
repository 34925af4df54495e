"""Whether an extracted model is valid and computes what the exported model computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from hx_extractor.run.numbers import Difference, difference
from hx_graph import check_proto, without_weights
from hx_sidecar_schema import HxError, first_line


@dataclass(frozen=True)
class Validation:
    """Differences between an extracted model and what it should compute."""

    max_abs_error: float
    """Largest |expected - actual| over all outputs; infinite where shapes, NaNs or infinities differ."""
    relative_error: float
    """The same, relative to the largest magnitude of each expected output; of integers and bools as it is."""


def check(model: ir.Model) -> None:
    """Run the ONNX checker, without weights; see `check_proto`.

    Raises:
        HxError: HX208 with its reason.
    """
    try:
        check_proto(ir.serde.serialize_model(without_weights(model)))
    except onnx.checker.ValidationError as error:
        raise HxError(
            f"The ONNX checker refuses the model: {first_line(error)}",
            code="HX208",
            hint="Report this with the model's name and options: an extracted model must be valid.",
        ) from error


def compare(expected: dict[str, NDArray[Any]], actual: dict[str, NDArray[Any]]) -> Validation:
    """Compare outputs by name; the errors are those of `difference`, the worst of all outputs.

    Args:
        expected: Arrays of any shape and dtype; of sequences lists, None for what an optional has not.
        actual: The same names.
    """
    found: list[Difference] = []
    for name, reference in expected.items():
        left, right = _entries(reference), _entries(actual[name])
        if len(left) != len(right):
            return Validation(math.inf, math.inf)
        found += map(difference, left, right)
    return Validation(
        max((one.max_abs_error for one in found), default=0.0), max((one.relative_error for one in found), default=0.0)
    )


def _entries(value: Any) -> list[NDArray[Any]]:
    return value if isinstance(value, list) else [] if value is None else [value]
