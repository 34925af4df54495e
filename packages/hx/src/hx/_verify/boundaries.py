"""The tensors that cross every module's boundary when the PyTorch model itself runs."""

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import torch

from hx._tensors import to_numpy
from hx._verify.inputs import ModuleInputs
from hx_sidecar_schema import HxError, Module, ModuleCall, Sidecar, first_line
from hx_tracer import CallValues, LoadedModel, record_call_values

Array = np.ndarray[Any, Any]
CallKey = tuple[str, int]
"""Fqn and index of a call."""
Kept = TypeVar("Kept")


def array_now(tensor: torch.Tensor) -> Array:
    """Return a tensor's numbers as they are now; the model may change the tensor later."""
    return to_numpy(tensor).copy()


class SizeAndPrecision(NamedTuple):
    """What is known of a tensor that was not kept: bytes of what `array_now` returns, and the epsilon of floats, else 0."""

    size_bytes: int
    epsilon: float

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Self:
        """Look at a tensor without keeping it."""
        element_bytes = 4 if tensor.dtype == torch.bfloat16 else tensor.element_size()
        epsilon = torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0
        return cls(tensor.numel() * element_bytes, epsilon)


def run_module(
    loaded: LoadedModel, inputs: ModuleInputs, wanted: Collection[CallKey], keep: Callable[[torch.Tensor], Kept]
) -> dict[CallKey, CallValues[Kept]]:
    """Run a model once and return what crossed the boundaries of some of its calls, as `keep` keeps it.

    Raises:
        HxError: HX407 if the inputs do not fit the model.
    """
    try:
        return record_call_values(loaded.module, inputs.args, inputs.kwargs, wanted, keep)
    except Exception as error:
        raise HxError(
            f"{type(loaded.module).__name__} does not run on the inputs {list(inputs.arrays)!r}: {first_line(error)}",
            code="HX407",
            hint="Compare with the model that the ONNX file was exported from, loaded with the same task and dtype.",
            argument="against",
        ) from error


def pytorch_keys(sidecar: Sidecar) -> list[CallKey]:
    """Return the key that every call has among those that a run of PyTorch makes.

    A call in a compiled body is none of them, and has a key that no run makes. In a part, names begin below its module.
    """
    names = [_name_below(sidecar.modules[0], module) for module in sidecar.modules]
    made: Counter[str] = Counter()
    keys: list[CallKey] = []
    for call in sidecar.calls:
        fqn = names[call.module]
        keys.append((fqn, -1 if call.in_body else made[fqn]))
        made[fqn] += not call.in_body
    return keys


def _name_below(root: Module, module: Module) -> str:
    """Return a module's name in a part that was cut out of `root`."""
    starts = [f"{name}." for name in (root.fqn, *root.aliases)] if root.fqn else []
    for name in (module.fqn, *module.aliases):
        for start in starts:
            if f"{name}.".startswith(start):
                return f"{name}.".removeprefix(start).removesuffix(".")
    return module.fqn


def why_not_made(call: ModuleCall) -> str:
    """Say why a run of PyTorch lacks a call."""
    if call.in_body:
        return "It runs in the body of a control-flow operator, which PyTorch compiles: nothing can be seen there."
    return "The PyTorch model did not make this call."
