"""Watching the calls of a model's modules.

Watching wraps `Module._call_impl`, below `__call__`, and not module hooks: a hook is visible to the model
(`nn.TransformerEncoder` takes another path when one is registered) and would not see what older hooks change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch.utils import _pytree as pytree

from hx_tracer.watch.dynamo_frames import enter_body, leave_body
from hx_tracer.watch.fx_metadata import Direction
from hx_tracer.watch.patches import replaced
from hx_tracer.watch.ports import input_ports, output_ports


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
    from torch._dynamo.comptime import comptime  # half a second, and only exports need it

    at_compile_time: Any = comptime
    original: Any = torch.nn.Module._call_impl  # pyright: ignore[reportPrivateUsage]

    def seen_by_dynamo(dispatch: Callable[..., Any]) -> Callable[..., Any]:
        def watched(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_dynamo_compiling():
                at_compile_time(enter_body)
                result = original(module, *args, **kwargs)
                at_compile_time(leave_body)
                return result
            return dispatch(module, *args, **kwargs)

        return watched

    def handle(call_impl: Any, module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        return watcher(call_impl, module, args, kwargs)

    with replaced(torch.nn.Module, "_call_impl", handle, outermost=seen_by_dynamo):
        yield


class EagerRun:
    """A model that runs as its users run it, watched.

    While it is traced a model may pass tensors that it does not pass otherwise: attention masks that are None in
    PyTorch are written out for an exporter. Those are no arguments of the module.

    Args:
        model: It.
        at_port: Told of every tensor that crosses a call's boundary, at that moment: row of the call, side, name.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        at_port: Callable[[int, Direction, str, torch.Tensor], None] | None = None,
    ) -> None:
        self.calls: list[TracedCall] = []
        self.stack: list[int] = []
        """Rows of the calls that are running, the innermost last."""
        self._model = model
        self._at_port = at_port
        self._names = first_names(model)
        self._counts: Counter[str] = Counter()

    def run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return what the model returns. It gets copies: a model may change its inputs in place."""

        def copy(value: Any) -> Any:
            return value.clone() if isinstance(value, torch.Tensor) else value

        args, kwargs = pytree.tree_map(copy, (args, dict(kwargs)))
        with torch.no_grad(), watching_calls(self._call):
            return self._model(*args, **kwargs)

    def _call(self, call_impl: Any, module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        fqn = self._names.get(identity(module))
        if fqn is None:
            return call_impl(module, *args, **kwargs)
        row = len(self.calls)
        call = TracedCall(fqn, self._counts[fqn], self.stack[-1] if self.stack else None)
        self._counts[fqn] += 1
        self.calls.append(call)
        call.inputs = self._note(row, "inputs", input_ports(module, args, kwargs))
        self.stack.append(row)
        try:
            result = call_impl(module, *args, **kwargs)
        finally:
            self.stack.pop()
        call.outputs = self._note(row, "outputs", output_ports(result, call.inputs))
        return result

    def _note(
        self, row: int, side: Direction, ports: list[tuple[str, torch.Tensor]]
    ) -> dict[str, TensorLike]:
        with torch._C.DisableTorchFunction():  # pyright: ignore[reportPrivateUsage] - what is asked here, the model did not ask
            for name, tensor in ports if self._at_port else ():
                assert self._at_port is not None
                self._at_port(row, side, name, tensor)
            return {name: tensor_like(tensor) for name, tensor in ports}


def first_names(model: torch.nn.Module) -> dict[int, str]:
    return {identity(module): name for name, module in model.named_modules()}


def identity(module: torch.nn.Module) -> int:
    """Tell modules apart: where one has several names, torch.export calls proxies that share its `__dict__`."""
    return id(module.__dict__["_modules"])


def tensor_like(tensor: torch.Tensor) -> TensorLike:
    return TensorLike(from_torch_dtype(tensor.dtype).name, tuple(tensor.shape))
