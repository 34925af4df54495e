"""Noise on the weights of a fresh model, so that tensors are equal only where they are the same."""

from __future__ import annotations

import torch

_RELATIVE = 0.1
_ABSOLUTE = 0.02
_LARGEST = 1e4


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Add seeded noise to every float parameter and to running statistics, in place.

    A fresh model has many equal tensors: ones in normalisations, zero biases, zero class tokens. The noise has a
    standard deviation of 0.1 times the parameter's root mean square plus 0.02. A parameter whose root mean square is not
    below 1e4, as of memory that construction left unset, becomes noise alone. Running variances stay positive.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float32)

    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.is_floating_point() or not parameter.numel():
                continue
            value = parameter.detach().float()
            size = float(value.square().mean().sqrt())
            if not size < _LARGEST:
                value, size = torch.zeros_like(value), 0.0
            parameter.copy_(value + noise(value) * (_RELATIVE * size + _ABSOLUTE))
        for name, buffer in module.named_buffers():
            last = name.rpartition(".")[2]
            if last == "running_mean":
                buffer.add_((noise(buffer) * _RELATIVE).to(buffer.dtype))
            elif last == "running_var":
                buffer.mul_((1 + _RELATIVE * noise(buffer)).clamp(0.5, 1.5).to(buffer.dtype))
