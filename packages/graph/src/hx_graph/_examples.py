"""Example inputs as records, and arrays from records."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hx_sidecar_schema import Example, TensorInfo, UnavailableValue, first_line

WHOLE_BYTES = 1 << 16
"""Up to this size an example is recorded whole."""


def example_record(array: NDArray[np.generic], shape: Sequence[int] | None = None) -> Example:
    """Return the record of an input's value, of any element type that ONNX has but strings.

    Up to 64 KiB the bytes themselves, compressed; beyond, the range of the values, from which `example_array`
    draws uniformly. With a `shape` it is recorded as if its numbers were repeated to that.
    """
    if shape is None:
        shape = array.shape
    else:
        array = np.resize(array, shape if math.prod(shape) <= WHOLE_BYTES else WHOLE_BYTES + 1)
    shape = list(shape)
    if array.nbytes <= WHOLE_BYTES:
        data = zlib.compress(np.ascontiguousarray(array).tobytes(), 9)
        return Example(shape=shape, data=base64.b64encode(data).decode())
    parts = [array.real, array.imag] if np.iscomplexobj(array) else [array]
    numbers = [part.astype(np.float64) for part in parts]
    low, high = min(float(part.min()) for part in numbers), max(float(part.max()) for part in numbers)
    return Example(shape=shape, low=low, high=high)


def example_array(info: TensorInfo) -> NDArray[np.generic]:
    """Return the recorded value of a model input, or a seeded draw from its recorded range.

    Raises:
        HxError: HX206 if none was recorded, or it is damaged.
    """
    import onnx_ir as ir

    example = info.example
    if example is None:
        hint = "Give all inputs yourself; or the shape of one, and those that are not recorded are drawn."
        raise UnavailableValue(f"No example of input {info.name!r} is recorded.", hint=hint, argument="input_shapes")
    try:
        return _array(example, ir.DataType[info.dtype].numpy())
    except (ValueError, TypeError, OverflowError, MemoryError, zlib.error) as error:
        raise UnavailableValue(
            f"The recorded example of input {info.name!r} is damaged: {first_line(error)}.",
            hint="Give the inputs yourself, or export the model again.",
            argument="inputs",
        ) from error


def _array(example: Example, dtype: np.dtype[Any]) -> NDArray[np.generic]:
    if example.data is not None:
        size = math.prod(example.shape) * dtype.itemsize
        data = zlib.decompressobj().decompress(base64.b64decode(example.data), size + 1)
        return np.frombuffer(data, dtype).reshape(example.shape)
    low, high = example.low or 0.0, example.high or 0.0
    draw = np.random.default_rng(0)
    if np.issubdtype(dtype, np.integer):
        return draw.integers(int(low), int(high), example.shape, endpoint=True).astype(dtype)
    return draw.uniform(low, high, example.shape).astype(dtype)
