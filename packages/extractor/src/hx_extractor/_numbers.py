"""How far arrays are apart, and models by their outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3
HALF_TOLERANCE = 1e-2
"""Of the largest magnitude of an output: in single precision, and in float16 or bfloat16."""
CHUNK = 1 << 20
"""Elements compared at once: in double precision two large arrays would take more memory than the model."""


def tolerance(dtypes: Iterable[Any]) -> float:
    """Return the largest relative difference that is a match, for tensors of these data types."""
    return HALF_TOLERANCE if any("float16" in str(dtype).lower() for dtype in dtypes) else TOLERANCE


@dataclass(frozen=True)
class Difference:
    """An array beside the one that it should be. All errors are over the positions where both are finite."""

    max_abs_error: float
    """Largest |expected - actual|; infinite where shapes differ, or where NaN and infinities lie elsewhere."""
    max_relative_error: float
    """Largest |expected - actual| / (|expected| + 1e-7), dimensionless; infinite as above."""
    relative_error: float
    """Largest error divided by the largest magnitude of the expected array. Indices and truth values are equal or
    wrong: of integers and bools it is `max_abs_error`."""
    cosine_similarity: float
    """Of both as vectors; 1 where both are zero, 0 where one is, NaN where shapes differ."""
    snr_db: float
    """10 log10 of the expected array's energy over the error's; infinite where the arrays are equal."""
    expected_nan: int = 0
    expected_inf: int = 0
    actual_nan: int = 0
    actual_inf: int = 0
    reason: str = ""
    """Why the errors are infinite, for a person; empty where they are not."""


def difference(expected: NDArray[Any], actual: NDArray[Any]) -> Difference:
    """Return how far an array is from what it should be.

    Args:
        expected: Any shape; any element type that NumPy or ml_dtypes can turn into float64 or complex128. Strings are
            equal or wrong.
        actual: Of the same shape, else the errors are infinite. Broadcasting would hide a wrong rank.

    Source: `max_relative_error` is what `torch.onnx.verification.VerificationInfo` (torch 2.13) calls so.
    """
    texts = expected.dtype.kind in "OSU" or actual.dtype.kind in "OSU"
    counts = (0, 0, 0, 0) if texts else (*_not_finite(expected), *_not_finite(actual))
    infinite = math.inf, math.inf, math.inf
    if expected.shape != actual.shape:
        reason = f"shape {list(actual.shape)} instead of {list(expected.shape)}"
        return Difference(*infinite, math.nan, -math.inf, *counts, reason=reason)
    if texts and (expected == actual).all():
        return Difference(0.0, 0.0, 0.0, 1.0, math.inf)
    if texts:
        return Difference(*infinite, 0.0, -math.inf, reason="other strings")
    absolute, relative, magnitude, other, misplaced = 0.0, 0.0, 0.0, 0.0, False
    for left, right, elsewhere in _chunks(expected, actual):
        misplaced = misplaced or elsewhere
        if left.size:
            error, size = np.abs(left - right), np.abs(left)
            absolute = max(absolute, float(error.max()))
            relative = max(relative, float((error / (size + 1e-7)).max()))
            magnitude = max(magnitude, float(size.max()))
            other = max(other, float(np.abs(right).max()))
    cosine, snr = _energies(expected, actual, max(magnitude, other))
    if misplaced:
        return Difference(*infinite, cosine, snr, *counts, reason="NaN or infinity in other places")
    exact = np.issubdtype(expected.dtype, np.integer) or expected.dtype == np.bool_
    share = absolute if exact or not magnitude else absolute / magnitude
    return Difference(absolute, relative, share, cosine, snr, *counts)


@dataclass(frozen=True)
class Validation:
    """Differences between an extracted model and what it should compute."""

    max_abs_error: float
    """Largest |expected - actual| over all outputs; infinite where shapes, NaNs or infinities differ."""
    relative_error: float
    """The same, relative to the largest magnitude of each expected output; of integers and bools as it is."""


def compare(expected: dict[str, NDArray[Any]], actual: dict[str, NDArray[Any]]) -> Validation:
    """Compare outputs by name; the errors are those of `difference`, the worst of all outputs.

    Of sequences both are lists of arrays; None is what an optional has not.
    """
    found: list[Difference] = []
    for name, reference in expected.items():
        left, right = _entries(reference), _entries(actual[name])
        if len(left) != len(right):
            return Validation(math.inf, math.inf)
        found += map(difference, left, right)
    errors = [(one.max_abs_error, one.relative_error) for one in found]
    return Validation(*map(max, zip(*errors, strict=True))) if errors else Validation(0.0, 0.0)


def _entries(value: Any) -> list[NDArray[Any]]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _energies(expected: NDArray[Any], actual: NDArray[Any], scale: float) -> tuple[float, float]:
    """Return cosine similarity and signal-to-noise ratio; `scale` keeps the squares in range."""
    if not scale:
        return 1.0, math.inf
    signal, other, noise, product = 0.0, 0.0, 0.0, 0.0
    for left, right, _ in _chunks(expected, actual):
        left, right = left / scale, right / scale
        signal += float(np.vdot(left, left).real)
        other += float(np.vdot(right, right).real)
        noise += float(np.vdot(left - right, left - right).real)
        product += float(np.vdot(left, right).real)
    norms = math.sqrt(signal) * math.sqrt(other)
    cosine = min(max(product / norms, -1.0), 1.0) if norms else 0.0
    if not noise:
        return cosine, math.inf
    return cosine, 10 * math.log10(signal / noise) if signal else -math.inf


def _chunks(expected: NDArray[Any], actual: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any], bool]]:
    """Yield both where both are finite, and whether anything else is not the same in both."""
    kind = np.complex128 if "c" in (expected.dtype.kind, actual.dtype.kind) else np.float64
    flat, other = expected.reshape(-1), actual.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        left, right = (part[start : start + CHUNK].astype(kind) for part in (flat, other))
        finite = np.isfinite(left) & np.isfinite(right)
        if finite.all():
            yield left, right, False
            continue
        rest_left, rest_right = left[~finite], right[~finite]
        same = np.where(np.isnan(rest_left), np.isnan(rest_right), rest_left == rest_right)
        yield left[finite], right[finite], not bool(same.all())


def _not_finite(array: NDArray[Any]) -> tuple[int, int]:
    """Count NaNs and infinities."""
    if np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_:
        return 0, 0
    return int(np.isnan(array).sum()), int(np.isinf(array).sum())
