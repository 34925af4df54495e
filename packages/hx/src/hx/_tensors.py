"""Tensors of PyTorch as arrays, and how far two may be apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

TOLERANCE = 1e-3
HALF_TOLERANCE = 1e-2
"""Of the largest magnitude of an output: in single precision, and in float16 or bfloat16."""


def to_numpy(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor's numbers as the graph has them: bfloat16, which numpy lacks, as float32; complex ones as real pairs."""
    import torch

    from hx_tracer import as_real

    tensor = as_real(tensor.detach().cpu())
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def tolerance(dtypes: Iterable[Any]) -> float:
    """Return the largest relative difference that is a match, for tensors of these data types."""
    return HALF_TOLERANCE if any("float16" in str(dtype).lower() for dtype in dtypes) else TOLERANCE
