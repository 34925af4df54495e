"""Inputs of the ONNX model alone, given or read from a file; torch is loaded for `.pt` alone."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hx._tensors import to_numpy
from hx_sidecar_schema import HxError, first_line

Inputs = Mapping[str, Any] | str | Path
"""Arrays or tensors by input name, or a file of them."""


def arrays_of(inputs: Inputs) -> dict[str, Any]:
    """Return inputs as arrays; a file is `.npz`, `.safetensors`, or `.pt` (a dict; nothing in it is executed).

    Raises:
        HxError: HX110 if a file is missing, of another kind, damaged, or holds no dict of tensors.
    """
    import numpy as np

    if isinstance(inputs, Mapping):
        return {name: np.asarray(value) for name, value in inputs.items()}
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(inputs)
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
        raise HxError(
            f"Inputs file {str(path)!r} cannot be read: {first_line(error)}.",
            code="HX110",
            hint="Give a .pt (saved dict), .npz or .safetensors file that holds each input under its ONNX name.",
        ) from error
    import torch

    from hx_tracer import read_inputs

    given = read_inputs(path).items()
    return {name: to_numpy(value) if isinstance(value, torch.Tensor) else np.asarray(value) for name, value in given}
