"""Tensors of PyTorch as arrays, inputs of the ONNX model among them, and how far two may be apart."""

from __future__ import annotations

import math
import sys
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hx_sidecar_schema import HxError, first_line

if TYPE_CHECKING:
    import numpy as np
    import torch

ROUNDING_FACTOR = 10
"""Two right results differ by no more than this many times the error of one: either may be exact by luck."""

Inputs = Mapping[str, Any] | str | Path
"""Arrays or tensors by input name, or a file of them."""


def to_numpy(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor's numbers as the graph has them: bfloat16, which numpy lacks, as float32; complex ones as real pairs."""
    import torch

    from hx_tracer import as_real

    tensor = as_real(tensor.detach().cpu())
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def arrays_of(inputs: Inputs) -> dict[str, Any]:
    """Return inputs as arrays; a file is `.npz`, `.safetensors`, or `.pt` (a dict; nothing in it is executed).

    HX110 if a file is missing, of another kind, damaged, or holds no dict of tensors.
    """
    import numpy as np

    if isinstance(inputs, Mapping):
        torch = sys.modules.get("torch")  # else nothing is a tensor
        return {n: to_numpy(v) if torch and isinstance(v, torch.Tensor) else np.asarray(v) for n, v in inputs.items()}
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(inputs)
    try:
        if path.exists() and not path.is_file():  # a FIFO would be waited for
            raise OSError("it is no regular file")
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
    from hx_tracer import read_inputs  # which needs torch

    return arrays_of(read_inputs(path))


def own_rounding(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], wanted: Collection[tuple[str, int]]
) -> dict[tuple[str, int], float]:
    """Return how far the outputs of some calls are from what double precision makes of the same inputs of the call.

    The sine of an argument near 1000 is uncertain by 1e-4 in single precision, the difference of equal numbers by all of it.
    The root runs once; the calls are named by fqn and index, and none of them is inside another. Returned is the largest
    relative error of an output of each; 0 where it is not of single precision, or not finite.
    """
    from hx_extractor import difference
    from hx_tracer import record_exact_values

    def error(tensor: torch.Tensor, exact: torch.Tensor) -> float:
        found = difference(to_numpy(tensor), to_numpy(exact)).relative_error if exact is not tensor else 0.0
        return found if math.isfinite(found) else 0.0

    found = record_exact_values(module, args, kwargs, wanted, error)
    return {key: max(values.outputs.values(), default=0.0) for key, values in found.items()}


def explained(rounding: float) -> str:
    """Say why an error beyond the ordinary is right, given what `own_rounding` found."""
    return f"PyTorch's own result is {rounding:.1e} off double precision"
