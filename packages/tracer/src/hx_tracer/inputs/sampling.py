"""How the values of an input are drawn: the same kind can be drawn again at another size."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

Kind = Literal["ids", "mask", "positions", "normal", "given"]


@dataclass(frozen=True)
class Sampling:
    """The distribution of an input's values."""

    kind: Kind
    """`ids`: integers from [low, high) without `avoid`; `mask`: ones; `positions`: 0, 1, ... along the last axis;
    `normal`: standard normal; `given`: values that were not drawn."""
    low: int = 0
    high: int = 0
    avoid: tuple[int, ...] = ()


def sample(sampling: Sampling, shape: Sequence[int], dtype: torch.dtype, *, name: str, seed: int) -> torch.Tensor:
    """Draw a tensor; the same parameter name, shape and seed give the same values, another name other ones.

    `given` values cannot be drawn and count as `normal`.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    shape = tuple(shape)
    if sampling.kind == "ids":
        allowed = np.setdiff1d(np.arange(sampling.low, sampling.high), np.asarray(sampling.avoid, dtype=np.int64))
        if not len(allowed):
            allowed = np.arange(sampling.low, max(sampling.high, sampling.low + 1))
        return torch.from_numpy(rng.choice(allowed, size=shape)).to(dtype)
    if sampling.kind == "mask":
        return torch.ones(shape, dtype=dtype)
    if sampling.kind == "positions":
        return torch.arange(shape[-1]).expand(shape).contiguous().to(dtype)
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(dtype)
