"""Whether an extracted model is valid and computes what the exported model computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from hx_sidecar_schema import HxError

if TYPE_CHECKING:
    from hx_extractor._extract import Extraction


@dataclass(frozen=True)
class Validation:
    """Differences between an extracted model and what it should compute."""

    max_abs_error: float
    """Largest |expected - actual| over all outputs; infinite where shapes or NaNs differ."""
    relative_error: float
    """The same, relative to the largest magnitude of each expected output; dimensionless."""


def validate(extraction: Extraction) -> Validation:
    """Check an extraction. See `Extraction.validate`."""
    check(extraction.model)
    actual = extraction.run(extraction.example_inputs())
    carriers = {port.name: port.value or port.initializer or "" for port in extraction.outputs}
    expected = extraction.parent.compute(carriers.values())
    return compare({name: expected[carrier] for name, carrier in carriers.items()}, actual)


def check(model: ir.Model) -> None:
    """Run the ONNX checker, without weights.

    Raises:
        HxError: HX208 with its reason.
    """
    proto = ir.serde.serialize_model(_without_weights(model))
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise HxError(
            f"The ONNX checker refuses the model: {str(error).splitlines()[0]}",
            code="HX208",
            hint="Report this with the model's name and options: an extracted model must be valid.",
        ) from error


def compare(expected: dict[str, NDArray[Any]], actual: dict[str, NDArray[Any]]) -> Validation:
    """Compare outputs by name.

    Args:
        expected: Arrays of any shape and dtype.
        actual: The same names.
    """
    absolute, relative = 0.0, 0.0
    for name, reference in expected.items():
        error, magnitude = _difference(reference, actual[name])
        absolute = max(absolute, error)
        relative = max(relative, error / magnitude if magnitude else error)
    return Validation(absolute, relative)


def _difference(expected: NDArray[Any], actual: NDArray[Any]) -> tuple[float, float]:
    if expected.shape != actual.shape:
        return float("inf"), 1.0
    if expected.size == 0:
        return 0.0, 1.0
    kind = np.complex128 if expected.dtype.kind == "c" else np.float64
    left, right = expected.astype(kind), actual.astype(kind)
    if not np.array_equal(np.isfinite(left), np.isfinite(right)):
        return float("inf"), 1.0
    finite = np.isfinite(left)
    if not finite.any():
        return 0.0, 1.0
    left, right = left[finite], right[finite]
    return float(np.abs(left - right).max()), float(np.abs(left).max())


def _without_weights(model: ir.Model) -> ir.Model:
    bare = model.clone()
    for value in list(bare.graph.initializers.values()):
        bare.graph.initializers.pop(str(value.name))
        value.const_value = None
        bare.graph.inputs.append(value)
    return bare
