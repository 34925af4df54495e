"""Watching the calls of a model's modules: the one watcher, for runs in PyTorch and for traces.

Watching replaces the method below `Module.__call__`, for one thread, and registers no module hooks: a hook is visible to
the model (`nn.TransformerEncoder` takes another path where one is registered) and does not see what older hooks change.
"""

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from onnx_ir.tensor_adapters import from_torch_dtype

from hx_sidecar_schema import Observation
from hx_tracer._torch_internals import (
    MODULE_CALL,
    HigherOrderOperator,
    comptime,
    module_identity,
    pytree,
    without_torch_function,
)
from hx_tracer.watch.dynamo_frames import enter_call, leave_call
from hx_tracer.watch.fx_metadata import Direction
from hx_tracer.watch.patches import patched
from hx_tracer.watch.ports import input_constants, input_ports, output_ports
from hx_tracer.watch.recursion import room_for_watching
from hx_tracer.watch.uncompiled import run_eagerly

CallKey = tuple[str, int]
"""Fqn and index of a call."""


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
    constants: dict[str, Any] | None = None
    """Arguments that are no tensors, if they were seen in a run in PyTorch."""
    in_body: bool = False
    """Whether it ran in the body of a control-flow operator."""
    hidden: str = ""
    """Why its ports are not known; empty where they are."""

    @property
    def key(self) -> CallKey:
        """Fqn and index."""
        return self.fqn, self.index


class PyTorchRun(NamedTuple):
    """What a run of a model in PyTorch showed."""

    result: Any
    calls: list[TracedCall]
    observation: Observation | None = None
    """If its operations were watched."""


class CallLog:
    """The calls of one model's modules, in the order in which they begin."""

    def __init__(self, model: torch.nn.Module) -> None:
        """Prepare for the calls of a root module."""
        self._names = {module_identity(module): name for name, module in model.named_modules()}
        self.clear()

    def clear(self) -> None:
        """Forget all calls."""
        self.calls: list[TracedCall] = []
        self.stack: list[int] = []
        """Rows of the calls that are running, the innermost last."""
        self._counts: Counter[str] = Counter()

    def fqn_of(self, module: torch.nn.Module) -> str | None:
        """Return the first name of a module; None where the model has none for it."""
        return self._names.get(module_identity(module))

    def begin(self, fqn: str) -> int:
        """Add a call inside the innermost running one, and return its row."""
        row = len(self.calls)
        self.calls.append(TracedCall(fqn, self._counts[fqn], self.stack[-1] if self.stack else None))
        self._counts[fqn] += 1
        self.stack.append(row)
        return row

    @contextmanager
    def running(self, fqn: str) -> Generator[int]:
        """Let a call run while the block runs."""
        row = self.begin(fqn)
        try:
            yield row
        finally:
            self.stack.pop()


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


def disable_fused_attention(asked: list[bool] | None = None) -> AbstractContextManager[None]:
    """Keep attention layers of this thread from the fused kernel that runs instead of all their modules.

    Exporters have no such kernel: they trace the modules. `asked` becomes longer whenever a layer would have used it.
    """

    def disabled(original: Callable[[], bool]) -> bool:
        if asked is not None:
            asked.append(original())
        return False

    # torch.backends.mha.set_fastpath_enabled sets it for all threads.
    return patched(torch.backends.mha, "get_fastpath_enabled", disabled)


class EagerRun(CallLog):
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
        super().__init__(model)
        self._model = model
        self._at_port = at_port
        self._in_body = False

    def run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return what the model returns for copies of these inputs: a model may change its inputs in place."""
        args, kwargs = pytree.tree_map_only(torch.Tensor, torch.clone, (args, dict(kwargs)))
        with (
            torch.no_grad(),
            run_eagerly(self._model),
            room_for_watching(self._model),
            watching_calls(self._call),
            patched(HigherOrderOperator, "__call__", self._operator),
        ):
            return self._model(*args, **kwargs)

    def _operator(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        """Run an operator with bodies; what they call is not noted: an exporter keeps all of them, a run takes one."""
        outer, self._in_body = self._in_body, True
        try:
            return original(*args, **kwargs)
        finally:
            self._in_body = outer

    def _call(self, call_impl: Any, module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        fqn = self.fqn_of(module)
        if fqn is None or self._in_body:
            return call_impl(module, *args, **kwargs)
        with self.running(fqn) as row:
            call = self.calls[row]
            call.inputs = self._note(row, "inputs", input_ports(module, args, kwargs))
            call.constants = input_constants(module, args, kwargs)
            result = call_impl(module, *args, **kwargs)
        call.outputs = self._note(row, "outputs", output_ports(result, call.inputs))
        return result

    def _note(self, row: int, side: Direction, ports: list[tuple[str, torch.Tensor]]) -> dict[str, TensorLike]:
        with without_torch_function():  # the sizes that are read here the model did not ask for
            if self._at_port is not None:
                for name, tensor in ports:
                    self._at_port(row, side, name, tensor)
            return {name: tensor_like(tensor) for name, tensor in ports}


def tensor_like(tensor: torch.Tensor) -> TensorLike:
    """Return dtype and shape of a tensor."""
    return TensorLike(from_torch_dtype(tensor.dtype).name, tuple(tensor.shape))
