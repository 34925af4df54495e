"""Recorded inputs as arrays."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from hx_sidecar_schema import Port, TensorInfo, UnavailableValue


def example_array(info: TensorInfo) -> NDArray[np.generic]:
    """Return the recorded value of a model input, or a seeded draw from its recorded range.

    Raises:
        HxError: HX206 if none was recorded.
    """
    example = info.example
    if example is None:
        raise UnavailableValue(
            f"No example of input {info.name!r} is recorded.",
            hint="Give the inputs yourself, or export the model again.",
        )
    dtype = ir.DataType[info.dtype].numpy()
    if example.data is not None:
        return np.frombuffer(zlib.decompress(base64.b64decode(example.data)), dtype).reshape(example.shape)
    low, high = example.low or 0.0, example.high or 0.0
    draw = np.random.default_rng(0)
    if np.issubdtype(dtype, np.integer):
        return draw.integers(int(low), int(high), example.shape, endpoint=True).astype(dtype)
    return draw.uniform(low, high, example.shape).astype(dtype)


def like(port: Port, inputs: Sequence[TensorInfo]) -> NDArray[np.generic]:
    """Return zeros of a port's shape, with dynamic dimensions as the recorded inputs have them.

    Raises:
        HxError: HX206 if a dimension is no dimension of the recorded inputs.
    """
    sizes: dict[str, int] = {}
    for info in inputs:
        if info.example is not None:
            sizes |= {str(d): n for d, n in zip(info.shape, info.example.shape, strict=True)}
    missing = [dim for dim in port.shape if isinstance(dim, str) and dim not in sizes]
    if missing:
        raise UnavailableValue(
            f"The size {missing[0]!r} of port {port.name!r} cannot be told from the recorded inputs.",
            hint="Give the inputs yourself with `run`.",
        )
    shape = [dim if isinstance(dim, int) else sizes[dim] for dim in port.shape]
    return np.zeros(shape, ir.DataType[port.dtype].numpy())
