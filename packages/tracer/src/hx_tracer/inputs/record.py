"""Example inputs as records: small ones whole, large ones as a recipe."""

from __future__ import annotations

import base64
import zlib

import torch

from hx_sidecar_schema import Example

WHOLE_BYTES = 1 << 16


def example_record(tensor: torch.Tensor) -> Example:
    """Return the record of a model input.

    Up to 64 KiB the bytes themselves, compressed; beyond, the range of the values, from which a reader draws
    uniformly.
    """
    shape = list(tensor.shape)
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.numel() * flat.element_size() <= WHOLE_BYTES:
        data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        return Example(shape=shape, data=base64.b64encode(zlib.compress(data, 9)).decode())
    values = flat.to(torch.float64) if not flat.is_complex() else torch.view_as_real(flat).to(torch.float64)
    return Example(shape=shape, low=float(values.min()), high=float(values.max()))
