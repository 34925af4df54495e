"""Watching the calls of a model's modules.

Watching wraps `Module._call_impl`, below `__call__`, and not module hooks: a hook is visible to the model
(`nn.TransformerEncoder` takes another path when one is registered) and would not see what older hooks change.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch.utils import _pytree as pytree

from hx_tracer._bodies import enter_body, leave_body
from hx_tracer._ports import input_ports, output_ports


@dataclass(frozen=True)
class TensorLike:
    """Dtype and shape of a tensor; symbolic dimensions are live: the trace may still find two of them equal."""

    dtype: str
    shape: tuple[int | torch.SymInt, ...]


@dataclass
class TracedCall:
    """One run of one module's forward, as seen while the exporter traced it."""

    fqn: str
    index: int
    parent: int | None
    inputs: dict[str, TensorLike] = field(default_factory=dict)
    """Ports by name, in order."""
    outputs: dict[str, TensorLike] = field(default_factory=dict)
    in_body: bool = False
    """It ran in the body of a control-flow operator."""
    hidden: str = ""
    """Why its ports are not known, where they are not."""


@contextmanager
def watching_calls(watcher: Callable[..., Any]) -> Generator[None]:
    """Run every module call of this thread through `watcher(call_impl, module, args, kwargs)`."""
    call_impl: Any = torch.nn.Module._call_impl  # pyright: ignore[reportPrivateUsage]
    thread = threading.get_ident()
    from torch._dynamo.comptime import comptime  # half a second, and only exports need it

    at_compile_time: Any = comptime

    def watched(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_dynamo_compiling():
            at_compile_time(enter_body)
            result = call_impl(module, *args, **kwargs)
            at_compile_time(leave_body)
            return result
        if threading.get_ident() != thread:
            return call_impl(module, *args, **kwargs)
        return watcher(call_impl, module, args, kwargs)

    torch.nn.Module._call_impl = watched  # pyright: ignore
    try:
        yield
    finally:
        torch.nn.Module._call_impl = call_impl  # pyright: ignore


def run_eagerly(
    model: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, list[TracedCall]]:
    """Run a model as its users do, and watch its calls.

    While it is traced a model may pass tensors that it does not pass otherwise: attention masks that are None in
    PyTorch are written out for an exporter. Those are no arguments of the module.

    Returns:
        The result, and the calls that ran.
    """
    names = first_names(model)
    counts: Counter[str] = Counter()
    calls: list[TracedCall] = []
    stack: list[int] = []

    def watcher(call_impl: Any, module: torch.nn.Module, a: tuple[Any, ...], k: dict[str, Any]) -> Any:
        fqn = names.get(identity(module))
        if fqn is None:
            return call_impl(module, *a, **k)
        call = TracedCall(fqn, counts[fqn], stack[-1] if stack else None)
        counts[fqn] += 1
        call.inputs = {name: tensor_like(tensor) for name, tensor in input_ports(module, a, k)}
        stack.append(len(calls))
        calls.append(call)
        try:
            result = call_impl(module, *a, **k)
        finally:
            stack.pop()
        call.outputs = {name: tensor_like(tensor) for name, tensor in output_ports(result, call.inputs)}
        return result

    def copy(value: Any) -> Any:  # a model may change its inputs in place
        return value.clone() if isinstance(value, torch.Tensor) else value

    args, kwargs = pytree.tree_map(copy, (args, dict(kwargs)))
    with torch.no_grad(), watching_calls(watcher):
        return model(*args, **kwargs), calls


def first_names(model: torch.nn.Module) -> dict[int, str]:
    return {identity(module): name for name, module in model.named_modules()}


def identity(module: torch.nn.Module) -> int:
    """Tell modules apart: where one has several names, torch.export calls proxies that share its `__dict__`."""
    return id(module.__dict__["_modules"])


def tensor_like(tensor: torch.Tensor) -> TensorLike:
    return TensorLike(from_torch_dtype(tensor.dtype).name, tuple(tensor.shape))
