"""Example inputs from a file that the user gives, as tensors; hx reads arrays of an ONNX model without torch."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hx_sidecar_schema import HxError, first_line


def read_inputs(path: Path) -> dict[str, Any]:
    """Return inputs by name from `.pt`/`.pth` (a dict; nothing in it is executed), `.npz` or `.safetensors`.

    Raises:
        HxError: HX110 if the file is missing, of another kind, damaged, or holds no dict.
    """
    suffix = path.suffix.lower()
    try:
        if path.exists() and not path.is_file():  # a FIFO would be waited for
            raise _unreadable(path, "it is no regular file")
        if suffix in (".pt", ".pth"):
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
        elif suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                loaded = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        elif suffix == ".safetensors":
            loaded = load_file(path)
        else:
            raise _unreadable(path, f"its ending is {suffix!r}")
    except HxError:
        raise
    except pickle.UnpicklingError as error:
        raise _unreadable(path, "it is damaged, or holds objects other than tensors and numbers") from error
    except (OSError, ValueError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
        raise _unreadable(path, first_line(error)) from error
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        raise _unreadable(path, f"it holds a {type(loaded).__name__}, not a dict of tensors by input name")
    return loaded


def _unreadable(path: Path, reason: str) -> HxError:
    return HxError(
        f"Inputs file {str(path)!r} cannot be read: {reason}.",
        code="HX110",
        hint="Give a .pt (saved dict), .npz or .safetensors file that holds each input by its name.",
    )
