"""What single precision itself leaves uncertain in what a PyTorch model computes."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping
from contextlib import redirect_stdout
from typing import Any

import torch

from hx._tensors import to_numpy
from hx_extractor import difference
from hx_tracer import preserve_state, record_exact_values

ROUNDING_FACTOR = 10
"""Two right results differ by no more than this many times the error of one: either may be exact by luck."""


def explained(rounding: float) -> str:
    """Say why an error beyond the ordinary is right, given what `own_rounding` found."""
    return f"PyTorch's own result is {rounding:.1e} off double precision"


def own_rounding(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], wanted: Collection[tuple[str, int]]
) -> dict[tuple[str, int], float]:
    """Return how far the outputs of some calls are from what double precision makes of the same inputs of the call.

    The sine of an argument near 1000 is uncertain by 1e-4 in single precision, the difference of equal numbers by all of it.

    Args:
        module: The root; it runs once.
        args: Positional inputs.
        kwargs: Inputs by name.
        wanted: Fqn and index of the calls; none of them inside another.

    Returns:
        By call the largest relative error of an output; 0 where it is not of single precision, or not finite.
    """

    def error(tensor: torch.Tensor, exact: torch.Tensor) -> float:
        found = difference(to_numpy(tensor), to_numpy(exact)).relative_error if exact is not tensor else 0.0
        return found if math.isfinite(found) else 0.0

    with torch.random.fork_rng(devices=[]), redirect_stdout(sys.stderr), preserve_state(module):
        torch.manual_seed(0)
        found = record_exact_values(module, args, kwargs, wanted, error)
    return {key: max(values.outputs.values(), default=0.0) for key, values in found.items()}
