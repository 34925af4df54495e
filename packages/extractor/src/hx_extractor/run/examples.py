"""Arrays for the inputs of a call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from hx_sidecar_schema import Port, TensorInfo, UnavailableValue


def like(port: Port, inputs: Sequence[TensorInfo]) -> NDArray[np.generic]:
    """Return zeros of a port's shape, with dynamic dimensions as the recorded inputs have them.

    Raises:
        HxError: HX206 if a dimension is no dimension of the recorded inputs.
    """
    sizes: dict[str, int] = {}
    for info in inputs:
        if info.example is not None and info.shape:  # it has none where the rank is not known
            sizes |= {str(d): n for d, n in zip(info.shape, info.example.shape, strict=True)}
    missing = [dim for dim in port.shape if isinstance(dim, str) and dim not in sizes]
    if missing:
        raise UnavailableValue(
            f"The size {missing[0]!r} of port {port.name!r} cannot be told from the recorded inputs.",
            hint="Give the inputs yourself with `run`.",
        )
    shape = [dim if isinstance(dim, int) else sizes[dim] for dim in port.shape]
    return np.zeros(shape, ir.DataType[port.dtype].numpy())
