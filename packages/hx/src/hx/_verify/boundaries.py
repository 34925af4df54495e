"""The tensors that cross every module's boundary when the PyTorch model itself runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch.utils import _pytree as pytree

from hx._tensors import to_numpy
from hx._verify.inputs import ModuleInputs
from hx._whole_model import first_line
from hx_sidecar_schema import HxError, ModuleCall, Sidecar
from hx_tracer import LoadedModel, input_ports, output_ports, unchanged

CallKey = tuple[str, int]
"""Fqn and index of a call."""
Kept = TypeVar("Kept")


@dataclass
class Boundary(Generic[Kept]):
    """What one call got and gave, by port name."""

    inputs: dict[str, Kept] = field(default_factory=dict[str, Kept])
    outputs: dict[str, Kept] = field(default_factory=dict[str, Kept])


def copied(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor's numbers as they are now; the model may change the tensor later."""
    return to_numpy(tensor).copy()


class Seen(NamedTuple):
    """What is known of a tensor that was not kept.

    Attributes:
        size_bytes: Of what `copied` returns.
        epsilon: Of its floating-point type; 0 for others.
    """

    size_bytes: int
    epsilon: float


def seen(tensor: torch.Tensor) -> Seen:
    """Look at a tensor without keeping it."""
    element_bytes = 4 if tensor.dtype == torch.bfloat16 else tensor.element_size()
    epsilon = torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0
    return Seen(tensor.numel() * element_bytes, epsilon)


def run_module(
    loaded: LoadedModel,
    inputs: ModuleInputs,
    wanted: Collection[CallKey],
    keep: Callable[[torch.Tensor], Kept],
) -> dict[CallKey, Boundary[Kept]]:
    """Run a model once and return what crossed the boundaries of some of its calls.

    Equal runs draw equal random numbers.

    Args:
        loaded: The model.
        inputs: Its inputs.
        wanted: The calls to look at.
        keep: What to keep of a tensor; called at the moment it crosses.

    Raises:
        HxError: HX407 if the inputs do not fit the model.
    """
    found: dict[CallKey, Boundary[Kept]] = {}
    try:
        with (
            torch.random.fork_rng(devices=[]),
            torch.no_grad(),
            redirect_stdout(sys.stderr),
            unchanged(loaded.module),
            _watched(loaded.module, wanted, keep, found),
        ):
            torch.manual_seed(0)
            args, kwargs = pytree.tree_map_only(torch.Tensor, torch.clone, (inputs.args, inputs.kwargs))
            loaded.module(*args, **kwargs)
    except Exception as error:
        raise HxError(
            f"{type(loaded.module).__name__} does not run on the inputs {list(inputs.arrays)!r}: {first_line(error)}",
            code="HX407",
            hint="Compare with the model that the ONNX file was exported from, loaded with the same task and dtype.",
            argument="against",
        ) from error
    return found


def pytorch_keys(sidecar: Sidecar) -> list[CallKey]:
    """Return the key that every call has among those that a run of PyTorch makes.

    A call in a compiled body is none of them, and has a key that no run makes.
    """
    made: Counter[str] = Counter()
    keys: list[CallKey] = []
    for call in sidecar.calls:
        fqn = sidecar.module_of(call).fqn
        keys.append((fqn, -1 if call.in_body else made[fqn]))
        made[fqn] += not call.in_body
    return keys


def why_not_made(call: ModuleCall) -> str:
    """Say why a run of PyTorch lacks a call."""
    if call.in_body:
        return "It runs in the body of a control-flow operator, which PyTorch compiles: nothing can be seen there."
    return "The PyTorch model did not make this call."


@contextmanager
def _watched(
    model: torch.nn.Module,
    wanted: Collection[CallKey],
    keep: Callable[[torch.Tensor], Kept],
    found: dict[CallKey, Boundary[Kept]],
) -> Generator[None]:
    """Watch below `__call__`: modules must not see it, as they do hooks (`nn.TransformerEncoder` then changes path)."""
    names: dict[int, str] = {}
    for name, module in model.named_modules():
        names.setdefault(id(module), name)
    counts: Counter[str] = Counter()
    module_class: Any = torch.nn.Module
    call_impl = module_class._call_impl
    fastpath = torch.backends.mha.get_fastpath_enabled()

    def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_dynamo_compiling():  # it interprets this function too, in bodies
            return call_impl(module, *args, **kwargs)
        fqn = names.get(id(module))
        if fqn is None:
            return call_impl(module, *args, **kwargs)
        key = (fqn, counts[fqn])
        counts[fqn] += 1
        if key not in wanted:
            return call_impl(module, *args, **kwargs)
        boundary = found[key] = Boundary[Kept]()
        inputs = input_ports(module, args, kwargs)
        boundary.inputs = {name: keep(tensor) for name, tensor in inputs}
        result = call_impl(module, *args, **kwargs)
        outputs = output_ports(result, [name for name, _ in inputs])
        boundary.outputs = {name: keep(tensor) for name, tensor in outputs}
        return result

    module_class._call_impl = call
    torch.backends.mha.set_fastpath_enabled(
        False
    )  # its one kernel calls no modules; the exporter takes the slow path
    try:
        yield
    finally:
        module_class._call_impl = call_impl
        torch.backends.mha.set_fastpath_enabled(fastpath)
