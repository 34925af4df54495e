"""What a graph computes: one run in ONNX Runtime, told by fingerprints."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from hx_graph.nested import in_order, reads
from hx_sidecar_schema import Fingerprint, HxError, ModelDoesNotRun, sample_positions

Array = np.ndarray[Any, Any]

ROUNDING = 1e-6
"""Of the largest magnitude: differences up to this say nothing."""
AT_ONCE = 512
"""Values that one run fetches: bounds the memory, and costs a run for every so many."""
SINGLE_TOLERANCE = 1e-4
STAND_IN = 1e9
"""Numbers of this magnitude and more stand for infinities, or come of them: the others are no rounding of theirs."""
HALF_TOLERANCE = {"FLOAT16": 2e-2, "BFLOAT16": 5e-2}
"""Of the largest sampled magnitude."""


class Values:
    """Fingerprints of the values of a main graph, and which of them are equal to a given one.

    Args:
        model: Not changed.
        feeds: Its inputs, by name.
        tolerance: Of the largest sampled magnitude: how far floating-point tensors of single precision and better
            may be apart.

    Raises:
        HxError: HX121 if ONNX Runtime cannot run the model, HX209 if it is not installed.
    """

    def __init__(
        self, model: ir.Model, feeds: Mapping[str, Array], *, tolerance: float = SINGLE_TOLERANCE
    ) -> None:
        graph = model.graph
        self._tolerance = tolerance
        self.order: dict[str, int] = {}
        """Names in topological order: inputs and initializers before what nodes make."""
        for value in (*graph.inputs, *graph.initializers.values()):
            self.order[str(value.name)] = -1
        for index, node in enumerate(in_order(graph)):
            self.order.update((str(out.name), index) for out in node.outputs if out.name)
        self.fingerprints: dict[str, Fingerprint] = {}
        for value in graph.initializers.values():
            if value.const_value is not None and value.const_value.dtype != ir.DataType.STRING:
                self.fingerprints[str(value.name)] = fingerprint(value.const_value.numpy())
        self.fingerprints.update(
            (name, fingerprint(array)) for name, array in feeds.items() if array.dtype.kind not in "OSU"
        )
        made = [name for name, index in self.order.items() if index >= 0]
        for name, array in _run(model, feeds, made):
            self.fingerprints[name] = fingerprint(array)
        self.variable = _variable(graph)
        """Names of the values that depend on an input."""
        self._nearest: dict[str, float] = {}
        self._index: dict[tuple[Any, ...], tuple[list[str], Array]] = {}
        rows: dict[tuple[Any, ...], list[str]] = {}
        for name, found in self.fingerprints.items():
            rows.setdefault(_bucket(found), []).append(name)
        for key, names in rows.items():
            numbers = np.array([_numbers(self.fingerprints[name]) for name in names])
            order = np.argsort(numbers[:, -1], kind="stable")
            self._index[key] = ([names[row] for row in order], numbers[order])

    def compare_with(self, tensors: Iterable[Fingerprint]) -> None:
        """Take all tensors that `equal` will be asked for: of two that are nearly equal, a value is the nearer one.

        A fresh normalisation layer changes what it is given by five millionths.
        """
        for tensor in tensors:
            for name, distance in self._near(tensor):
                self._nearest[name] = min(distance, self._nearest.get(name, distance))

    def equal(self, wanted: Fingerprint) -> list[str]:
        """Return the values that are equal to a tensor up to rounding, in topological order.

        Types of one kind count as equal: a graph may compute in half precision what PyTorch computed in single.
        """
        found = [
            name
            for name, distance in self._near(wanted)
            if distance <= max(8 * self._nearest.get(name, distance), ROUNDING)
        ]
        return sorted(found, key=self.order.__getitem__)

    def shape(self, name: str) -> list[int] | None:
        """Return the shape of a value; None of one that has no numbers."""
        found = self.fingerprints.get(name)
        return None if found is None else found.shape

    def repeats(self, name: str, other: str) -> bool:
        """Say whether two values hold exactly the same numbers in the same shape."""
        one, two = self.fingerprints.get(name), self.fingerprints.get(other)
        if one is None or two is None or _bucket(one) != _bucket(two):
            return False
        return np.array_equal(_numbers(one), _numbers(two), equal_nan=True)

    def _near(self, wanted: Fingerprint) -> list[tuple[str, float]]:
        """Return the values within the tolerance, with the largest difference relative to the largest magnitude."""
        names, rows = self._index.get(_bucket(wanted), ([], np.empty((0, 0))))
        if not names:
            return []
        numbers = np.array(_numbers(wanted))
        exact = not wanted.dtype.startswith(("FLOAT", "DOUBLE", "BFLOAT", "COMPLEX"))
        # The mean of equal integers may differ in its last bit.
        limit = 1e-12 if exact else HALF_TOLERANCE.get(wanted.dtype, self._tolerance)
        with np.errstate(invalid="ignore", over="ignore"):
            size = np.abs(numbers)
            scale = np.where(size < STAND_IN, float(size[size < STAND_IN].max(initial=0.0)) or 1.0, size)
            # Most rows differ in one number already: thousands of values of a large model have the same shape.
            away = limit * scale[-1] if np.isfinite(scale[-1]) else 0.0
            start = int(np.searchsorted(rows[:, -1], numbers[-1] - away, side="left"))
            end = int(np.searchsorted(rows[:, -1], numbers[-1] + away, side="right"))
            largest = _differences(rows[start:end], numbers, scale).max(axis=1)
        return [
            (name, float(far))
            for name, far in zip(names[start:end], largest.tolist(), strict=True)
            if far <= limit
        ]


def fingerprint(array: Array) -> Fingerprint:
    """Return what tells a tensor from others, as the tracer does it for PyTorch's."""
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


def _differences(rows: Array, numbers: Array, scale: Array) -> Array:
    equal = (rows == numbers) | (np.isnan(rows) & np.isnan(numbers))
    return np.nan_to_num(np.where(equal, 0.0, np.abs(rows - numbers) / scale), nan=np.inf)


def _numbers(value: Fingerprint) -> list[float]:
    return [*value.sample, value.mean, np.sqrt(value.mean_square)]


def _bucket(value: Fingerprint) -> tuple[Any, ...]:
    kind = value.dtype.rstrip("0123456789")
    kind = {"DOUBLE": "FLOAT", "BFLOAT": "FLOAT", "UINT": "INT"}.get(kind, kind)
    return (kind, *value.shape)


def _variable(graph: ir.Graph) -> set[str]:
    found = {str(value.name) for value in graph.inputs if not value.is_initializer()}
    for node in in_order(graph):
        if any(name in found for name in reads(node)):
            found.update(str(out.name) for out in node.outputs if out.name)
    return found


def _run(model: ir.Model, feeds: Mapping[str, Array], names: Iterable[str]) -> Iterator[tuple[str, Array]]:
    import onnx

    try:
        import onnxruntime
    except ImportError as error:
        raise HxError(
            "onnxruntime is not installed.",
            code="HX209",
            hint="Install it: `pip install hx-projector[ort]`.",
        ) from error
    wanted = list(names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        ir.save(model, path, external_data="model.onnx.data")
        proto = onnx.load(path, load_external_data=False)
        present = {output.name for output in proto.graph.output}
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in present)
        path.write_bytes(proto.SerializeToString())
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            fetched = [out.name for out in session.get_outputs() if _is_array(out.type)]
            for start in range(0, len(fetched), AT_ONCE):
                chunk = fetched[start : start + AT_ONCE]
                arrays: list[Array] = session.run(chunk, dict(feeds))  # pyright: ignore[reportAssignmentType]
                yield from zip(chunk, arrays, strict=True)
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise ModelDoesNotRun(
                f"ONNX Runtime cannot run the model to compare it with PyTorch: {' '.join(str(error).split())[:300]}",
                hint="Export with a strategy that needs no run, such as --strategy dynamo.",
            ) from error


def _is_array(kind: str) -> bool:
    """Say whether a value has numbers that ONNX Runtime can hand to NumPy: no strings, bfloat16, 8-bit floats, 4 bits."""
    return re.fullmatch(_ARRAYS, kind) is not None


_ARRAYS = r"tensor\((float|float16|double|bool|u?int(8|16|32|64)|complex(64|128))\)"
