"""How an input was made, so that the same kind of value can be drawn again at another size."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

Kind = Literal["ids", "mask", "positions", "normal", "given"]


@dataclass(frozen=True)
class Recipe:
    """How an input was made: its kind, and for integers the range [low, high) without `avoid`."""

    kind: Kind
    low: int = 0
    high: int = 0
    avoid: tuple[int, ...] = ()


def redraw(recipe: Recipe, shape: Sequence[int], dtype: torch.dtype, *, name: str, seed: int) -> torch.Tensor:
    """Draw a tensor by a recipe; the same name, shape and seed give the same values.

    Args:
        recipe: Kind and range. `given` values cannot be drawn and count as `normal`.
        shape: Shape of the result.
        dtype: Data type of the result.
        name: Parameter name; inputs of one model must not repeat each other's numbers.
        seed: Seed of `numpy.random.default_rng`.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    shape = tuple(shape)
    if recipe.kind == "ids":
        allowed = np.setdiff1d(np.arange(recipe.low, recipe.high), np.asarray(recipe.avoid, dtype=np.int64))
        if not len(allowed):
            allowed = np.arange(recipe.low, max(recipe.high, recipe.low + 1))
        return torch.from_numpy(rng.choice(allowed, size=shape)).to(dtype)
    if recipe.kind == "mask":
        return torch.ones(shape, dtype=dtype)
    if recipe.kind == "positions":
        return torch.arange(shape[-1]).expand(shape).contiguous().to(dtype)
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(dtype)
