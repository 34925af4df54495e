"""Watching the calls of a model's modules: the one watcher, for runs in PyTorch and for traces.

Watching replaces the method below `Module.__call__`, for one thread, and registers no module hooks: a hook is visible to
the model (`nn.TransformerEncoder` takes another path where one is registered) and does not see what older hooks change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from onnx_ir.tensor_adapters import from_torch_dtype

from hx_tracer._torch_internals import MODULE_CALL, comptime, module_identity, pytree, without_torch_function
from hx_tracer.watch.dynamo_frames import enter_call, leave_call
from hx_tracer.watch.fx_metadata import Direction
from hx_tracer.watch.patches import patched
from hx_tracer.watch.ports import input_ports, output_ports


@dataclass(frozen=True)
class TensorLike:
    """Dtype, as ONNX names it, and shape of a tensor; a trace may still find two symbolic dimensions equal."""

    dtype: str
    shape: tuple[int | torch.SymInt, ...]


@dataclass
class TracedCall:
    """One run of one module's forward, as it was seen."""

    fqn: str
    index: int
    """From 0, in the order of execution, per module."""
    parent: int | None
    """Row of the call around it; None for the root."""
    inputs: dict[str, TensorLike] = field(default_factory=dict)
    """Ports by name, in order."""
    outputs: dict[str, TensorLike] = field(default_factory=dict)
    in_body: bool = False
    """Whether it ran in the body of a control-flow operator."""
    hidden: str = ""
    """Why its ports are not known; empty where they are."""


@contextmanager
def watching_calls(watcher: Callable[..., Any]) -> Generator[None]:
    """Run every module call of this thread through `watcher(call_impl, module, args, kwargs)`.

    The watcher returns the call's result; `call_impl(module, *args, **kwargs)` runs the call. Calls that Dynamo
    interprets go to the `dynamo_listener` instead.
    """
    at_compile_time: Any = comptime()
    original: Any = getattr(*MODULE_CALL)

    def seen_by_dynamo(dispatch: Callable[..., Any]) -> Callable[..., Any]:
        def watched(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_dynamo_compiling():
                at_compile_time(enter_call)
                result = original(module, *args, **kwargs)
                at_compile_time(leave_call)
                return result
            return dispatch(module, *args, **kwargs)

        return watched

    def handle(call_impl: Any, module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        return watcher(call_impl, module, args, kwargs)

    with patched(*MODULE_CALL, handle, outermost=seen_by_dynamo):
        yield


@contextmanager
def disable_fused_attention() -> Generator[None]:
    """Keep attention layers of this thread from the fused kernel that runs instead of all their modules.

    Exporters have no such kernel: they trace the modules.
    """

    def disabled(_: object) -> bool:
        return False

    # torch.backends.mha.set_fastpath_enabled sets it for all threads.
    with patched(torch.backends.mha, "get_fastpath_enabled", disabled):
        yield


class EagerRun:
    """A run of a model in PyTorch, as its users run it, with its calls.

    While it is traced a model may pass tensors that it does not pass otherwise: attention masks that are None in
    PyTorch are written out for an exporter. Those are no arguments of the module.
    """

    def __init__(
        self, model: torch.nn.Module, at_port: Callable[[int, Direction, str, torch.Tensor], None] | None = None
    ) -> None:
        """Prepare a run.

        Args:
            model: The root module.
            at_port: Is called with every tensor that crosses a call's boundary, at that moment: row of the call, side,
                port name, tensor.
        """
        self.calls: list[TracedCall] = []
        self.stack: list[int] = []
        """Rows of the calls that are running, the innermost last."""
        self._model = model
        self._at_port = at_port
        self._names = first_names(model)
        self._counts: Counter[str] = Counter()

    def run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return what the model returns for copies of these inputs: a model may change its inputs in place."""
        args, kwargs = pytree.tree_map_only(torch.Tensor, torch.clone, (args, dict(kwargs)))
        with torch.no_grad(), watching_calls(self._call):
            return self._model(*args, **kwargs)

    def _call(self, call_impl: Any, module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        fqn = self._names.get(module_identity(module))
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

    def _note(self, row: int, side: Direction, ports: list[tuple[str, torch.Tensor]]) -> dict[str, TensorLike]:
        with without_torch_function():  # the sizes that are read here the model did not ask for
            for name, tensor in ports if self._at_port else ():
                assert self._at_port is not None
                self._at_port(row, side, name, tensor)
            return {name: tensor_like(tensor) for name, tensor in ports}


def first_names(model: torch.nn.Module) -> dict[int, str]:
    """Return the first name of every module by `module_identity`."""
    return {module_identity(module): name for name, module in model.named_modules()}


def tensor_like(tensor: torch.Tensor) -> TensorLike:
    """Return dtype and shape of a tensor."""
    return TensorLike(from_torch_dtype(tensor.dtype).name, tuple(tensor.shape))
