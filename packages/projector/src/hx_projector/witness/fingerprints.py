"""Fingerprints of tensors, and a search for those that are equal up to rounding.

A fingerprint holds up to 64 sampled numbers, the mean and the root of the mean square. Fingerprints of one shape and one
kind of element type are compared number by number; the largest difference, relative to the largest magnitude, is their
distance. Two tensors that agree in all of these numbers and differ elsewhere are taken for equal.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from hx_projector._graph_index import grouped
from hx_sidecar_schema import Fingerprint, sample_positions

Array = np.ndarray[Any, Any]

ROUNDING = 1e-6
"""Distances up to this are rounding: a value equals all tensors that are so near."""
SINGLE_TOLERANCE = 1e-4
HALF_TOLERANCE = {"FLOAT16": 2e-2, "BFLOAT16": 5e-2}
"""Largest distance of equal tensors."""
NEARNESS = 8
"""A value equals its nearest tensor, and others within the tolerance up to so many times as far away."""
STAND_IN = 1e9
"""Models write -3.4e38 and the like for minus infinity. Numbers from here on count as such, or as made of such: each is
compared by its own magnitude, and does not enlarge the rounding that the other numbers are allowed."""


def fingerprint(array: Array) -> Fingerprint:
    """Return the fingerprint of an array of numbers or booleans, as the tracer takes it of PyTorch's tensors."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype.kind == "c":
        flat = np.stack([np.real(flat), np.imag(flat)], -1).reshape(-1)
    exact = flat.astype(np.float64)
    empty = exact.size == 0
    with np.errstate(invalid="ignore", over="ignore"):
        return Fingerprint.model_construct(
            dtype=ir.DataType.from_numpy(array.dtype).name,
            shape=list(array.shape),
            sample=exact[sample_positions(exact.size)].tolist(),
            mean=0.0 if empty else float(exact.mean()),
            mean_square=0.0 if empty else float((exact * exact).mean()),
            constant=empty or bool((exact == exact[0]).all()),
        )


def is_identical(one: Fingerprint, other: Fingerprint) -> bool:
    """Say whether two fingerprints hold exactly the same numbers for the same shape."""
    return _bucket(one) == _bucket(other) and np.array_equal(_numbers(one), _numbers(other), equal_nan=True)


class FingerprintIndex:
    """Finds, among named fingerprints, those that are equal to a tensor up to rounding."""

    def __init__(self, named: Mapping[str, Fingerprint], tensors: Iterable[Fingerprint], tolerance: float) -> None:
        """Index fingerprints, to look up some tensors.

        Of several similar tensors a name counts for the nearest: a freshly initialised normalisation layer changes its
        input by five millionths. The tolerance is the largest distance of equal floating-point tensors of single precision
        and better, in units of the largest magnitude.
        """
        self._tolerance = tolerance
        self._buckets: dict[tuple[Any, ...], tuple[list[str], Array]] = {}
        """Names and numbers of one shape and kind, in the order of the last number."""
        for bucket, names in grouped((_bucket(found), name) for name, found in named.items()).items():
            numbers = np.array([_numbers(named[name]) for name in names])
            order = np.argsort(numbers[:, -1], kind="stable")
            self._buckets[bucket] = ([names[position] for position in order], numbers[order])
        self._nearest: dict[str, float] = {}
        """Distance of a name to the nearest of the tensors."""
        for tensor in tensors:
            for name, distance in self._within_tolerance(tensor):
                self._nearest[name] = min(distance, self._nearest.get(name, distance))

    def equal_to(self, tensor: Fingerprint) -> list[str]:
        """Return the names whose fingerprints are equal to a tensor's up to rounding.

        Element types of one kind count as equal: a graph may compute in half precision what PyTorch computed in single.
        """
        return [
            name
            for name, distance in self._within_tolerance(tensor)
            if distance <= max(NEARNESS * self._nearest.get(name, distance), ROUNDING)
        ]

    def _within_tolerance(self, tensor: Fingerprint) -> list[tuple[str, float]]:
        """Return the names within the tolerance, with their distances."""
        if _bucket(tensor) not in self._buckets:
            return []
        names, known = self._buckets[_bucket(tensor)]
        numbers = np.array(_numbers(tensor))
        exact = not tensor.dtype.startswith(("FLOAT", "DOUBLE", "BFLOAT", "COMPLEX"))
        # The mean of equal integers may differ in its last bit.
        limit = 1e-12 if exact else HALF_TOLERANCE.get(tensor.dtype, self._tolerance)
        with np.errstate(invalid="ignore", over="ignore"):
            size = np.abs(numbers)
            scale = np.where(size < STAND_IN, float(size[size < STAND_IN].max(initial=0.0)) or 1.0, size)
            # Thousands of values of a large model have the same shape; most differ in one number already.
            away = limit * scale[-1] if np.isfinite(scale[-1]) else 0.0
            start = int(np.searchsorted(known[:, -1], numbers[-1] - away, side="left"))
            end = int(np.searchsorted(known[:, -1], numbers[-1] + away, side="right"))
            near = known[start:end]
            equal = (near == numbers) | (np.isnan(near) & np.isnan(numbers))
            differences = np.where(equal, 0.0, np.abs(near - numbers) / scale)
            distances = np.nan_to_num(differences, nan=np.inf).max(axis=1)
        return [found for found in zip(names[start:end], distances.tolist(), strict=True) if found[1] <= limit]


def _numbers(value: Fingerprint) -> list[float]:
    return [*value.sample, value.mean, np.sqrt(value.mean_square)]


def _bucket(value: Fingerprint) -> tuple[Any, ...]:
    """Return kind of element type and shape, in which equal tensors agree."""
    kind = value.dtype.rstrip("0123456789")
    kind = {"DOUBLE": "FLOAT", "BFLOAT": "FLOAT", "UINT": "INT"}.get(kind, kind)
    return (kind, *value.shape)
