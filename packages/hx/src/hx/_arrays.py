"""Inputs of the ONNX model alone, given or read from a file; torch is loaded for `.pt` alone."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hx_sidecar_schema import HxError

Inputs = Mapping[str, Any] | str | Path
"""Arrays or tensors by input name, or a file of them."""


def arrays_of(inputs: Inputs) -> dict[str, Any]:
    """Return inputs as arrays.

    Raises:
        HxError: HX110 if a file is missing, of another kind, damaged, or holds no dict of tensors.
    """
    if isinstance(inputs, str | Path):
        return read_arrays(Path(inputs))
    import numpy as np

    return {name: np.asarray(value) for name, value in inputs.items()}


def read_arrays(path: Path) -> dict[str, Any]:
    """Read arrays by name from `.npz`, `.safetensors`, or `.pt` (a dict; nothing in it is executed).

    Raises:
        HxError: HX110 if the file is missing, of another kind, damaged, or holds no dict of tensors.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            import numpy as np

            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        if suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(path)
        if suffix in (".pt", ".pth"):
            import torch

            loaded = torch.load(path, map_location="cpu", weights_only=True)
            return {name: tensor.numpy() for name, tensor in loaded.items()}
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise _unreadable(path, (str(error).strip().splitlines() or [type(error).__name__])[-1]) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "safetensors_rust":
            raise
        raise _unreadable(path, str(error)) from error
    raise _unreadable(path, f"its ending is {suffix!r}")


def _unreadable(path: Path, reason: str) -> HxError:
    return HxError(
        f"Inputs file {str(path)!r} cannot be read: {reason}.",
        code="HX110",
        hint="Give a .pt (saved dict), .npz or .safetensors file that holds each input under its ONNX name.",
    )
