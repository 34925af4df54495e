"""The stack of module calls during an export, and the FX node behind every tensor that crosses a boundary.

`torch.export` runs the model's Python once, under a proxy mode that turns every operation into an FX node. While
it runs we watch `nn.Module` calls, stamp new FX nodes with the call they were made in, and note which FX
node each port's tensor stands for at that moment, which stays right when the tensor is later changed in place.

Watching wraps `Module._call_impl`, below `__call__`, and not module hooks: a hook is visible to the model
(`nn.TransformerEncoder` takes another path when one is registered) and would not see what older hooks change.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.fx.experimental import proxy_tensor
from torch.utils import _pytree as pytree

from hx_tracer._bodies import frame_of
from hx_tracer._ports import input_ports, output_ports

CALL = "hx_call"
PORTS = "hx_ports"

Direction = Literal["inputs", "outputs"]
NodeOf = Callable[[torch.Tensor], torch.fx.Node | None]
PortKey = tuple[int, Direction, str]
"""Row of the call, side, port name."""


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


@contextmanager
def watching_calls(watcher: Callable[..., Any]) -> Generator[None]:
    """Run every module call of this thread through `watcher(call_impl, module, args, kwargs)`."""
    call_impl: Any = torch.nn.Module._call_impl  # pyright: ignore[reportPrivateUsage]
    thread = threading.get_ident()
    from torch._dynamo.comptime import comptime  # half a second, and only exports need it

    at_compile_time: Any = comptime

    def watched(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_dynamo_compiling():
            at_compile_time(_enter_body)
            result = call_impl(module, *args, **kwargs)
            at_compile_time(_leave_body)
            return result
        if threading.get_ident() != thread:
            return call_impl(module, *args, **kwargs)
        return watcher(call_impl, module, args, kwargs)

    torch.nn.Module._call_impl = watched  # pyright: ignore
    try:
        yield
    finally:
        torch.nn.Module._call_impl = call_impl  # pyright: ignore


_recorder: ContextVar[CallRecorder | None] = ContextVar("recorder", default=None)


def _enter_body(context: Any) -> None:
    recorder = _recorder.get()
    if recorder is not None and recorder.stack:
        recorder.enter_body(context)


def _leave_body(context: Any) -> None:
    recorder = _recorder.get()
    if recorder is not None and recorder.stack:
        recorder.leave_body(context)


def run_eagerly(
    model: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, list[TracedCall]]:
    """Run a model as its users do, and watch its calls.

    While it is traced a model may pass tensors that it does not pass otherwise: attention masks that are None in
    PyTorch are written out for an exporter. Those are no arguments of the module.

    Returns:
        The result, and the calls that ran.
    """
    names = _first_names(model)
    counts: Counter[str] = Counter()
    calls: list[TracedCall] = []
    stack: list[int] = []

    def watcher(call_impl: Any, module: torch.nn.Module, a: tuple[Any, ...], k: dict[str, Any]) -> Any:
        fqn = names.get(_identity(module))
        if fqn is None:
            return call_impl(module, *a, **k)
        call = TracedCall(fqn, counts[fqn], stack[-1] if stack else None)
        counts[fqn] += 1
        call.inputs = {name: _tensor_like(tensor) for name, tensor in input_ports(module, a, k)}
        stack.append(len(calls))
        calls.append(call)
        try:
            result = call_impl(module, *a, **k)
        finally:
            stack.pop()
        call.outputs = {name: _tensor_like(tensor) for name, tensor in output_ports(result, call.inputs)}
        return result

    def copy(value: Any) -> Any:  # a model may change its inputs in place
        return value.clone() if isinstance(value, torch.Tensor) else value

    args, kwargs = pytree.tree_map(copy, (args, dict(kwargs)))
    with torch.no_grad(), watching_calls(watcher):
        return model(*args, **kwargs), calls


def _first_names(model: torch.nn.Module) -> dict[int, str]:
    return {_identity(module): name for name, module in model.named_modules()}


def _identity(module: torch.nn.Module) -> int:
    """Tell modules apart: where one has several names, torch.export calls proxies that share its `__dict__`."""
    return id(module.__dict__["_modules"])


class CallRecorder:
    """Records the calls of one model while `torch.export` traces it.

    Local to the thread that made it. Balanced when a forward raises. A new trace of the root (the exporter
    tries again with other dynamic shapes) starts over.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._names = _first_names(model)
        self._reset()

    def _reset(self) -> None:
        self.calls: list[TracedCall] = []
        self.stack: list[int] = []
        self.size_calls: dict[str, int] = {}
        """Symbolic expression to the first call that computed it: its FX node loses the stamp later."""
        self._counts: Counter[str] = Counter()
        self._last: dict[torch.fx.Graph, torch.fx.Node] = {}
        self._graph: torch.fx.Graph | None = None
        self._body: list[int | None] = []
        """Rows of the calls that Dynamo is in; None for modules without a name."""
        self._attempt: tuple[object, object, int] | None = None

    @contextmanager
    def watching(self) -> Generator[None]:
        """Watch module calls until the block ends."""
        run_node: Any = torch.fx.Interpreter.run_node

        def watched_run(interpreter: torch.fx.Interpreter, node: torch.fx.Node) -> Any:
            graph = _current_graph()
            if graph is None:
                return run_node(interpreter, node)
            call = node.meta.get("custom", {}).get(CALL)
            root = graph._root  # pyright: ignore[reportPrivateUsage]
            last = root._prev
            result = run_node(interpreter, node)
            while call is not None and (last := last._next) is not root:
                last.meta["custom"] = {CALL: call, **last.meta.get("custom", {})}
            keys = node.meta.get(PORTS)
            if keys and isinstance(result, torch.Tensor):
                successor = fx_node_of(result)
                if successor is not None and successor is not node:
                    _add_ports(successor, keys)
            return result

        torch.fx.Interpreter.run_node = watched_run  # pyright: ignore[reportAttributeAccessIssue]
        token = _recorder.set(self)
        try:
            with watching_calls(self._call):
                yield
        finally:
            _recorder.reset(token)
            torch.fx.Interpreter.run_node = run_node

    def adopt(self, calls: list[TracedCall], program: torch.export.ExportedProgram) -> None:
        """Take the calls of an eager run where the trace was not seen, and the exporter's own module stacks.

        The exporter's second way, Dynamo, keeps module stacks but runs no Python that could be watched. Only the
        root's ports are known then: the program's inputs and outputs.
        """
        self.calls, self.size_calls = calls, {}
        rows = {f"{call.fqn}@{call.index}": row for row, call in enumerate(calls)}
        nodes = {node.name: node for node in program.graph.nodes}
        for node in nodes.values():
            paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
            if paths:
                row = rows.get(paths[-1] if "@" in paths[-1] else f"{paths[-1]}@0")
                if row is not None:
                    node.meta["custom"] = {**node.meta.get("custom", {}), CALL: row}
        signature = program.graph_signature
        sides: tuple[tuple[Direction, Any], ...] = (
            ("inputs", signature.user_inputs),
            ("outputs", signature.user_outputs),
        )
        for side, names in sides:
            for port, name in zip(getattr(calls[0], side), names, strict=False):
                if name in nodes:
                    _add_ports(nodes[name], [(0, side, port)])

    def _call(
        self, call_impl: Any, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        fqn = self._names.get(_identity(module))
        tracing = proxy_tensor.get_proxy_mode() is not None
        if tracing and fqn is None and isinstance(module, torch.fx.GraphModule) and not kwargs:
            # torch 2.13 puts what ran under no_grad or autocast into a module of its own, and runs that whole when
            # it decomposes the program: its nodes would lose what is known of them.
            return torch.fx.Interpreter(module).run(*args)
        if fqn is None or not tracing or (fqn and not self.stack):
            return call_impl(module, *args, **kwargs)
        if not self.stack:
            self._reset()
        self._stamp()
        row = self._open(fqn, module, args, kwargs, fx_node_of)
        if row == 0:
            self._stamp()  # what stands before the root's first operation is the root's
        try:
            result = call_impl(module, *args, **kwargs)
            self._stamp()
        finally:
            del self.stack[self.stack.index(row) :]
        self._close(row, result, fx_node_of)
        return result

    def enter_body(self, context: Any) -> None:
        """Begin a call that Dynamo has come to; the frame is the one of `watching_calls`."""
        body, module, (args, kwargs) = frame_of(context, "args", "kwargs")
        self._begin_attempt(body.trace)
        self._stamp(body.graph)
        fqn = self._names.get(_identity(module))
        self._body.append(None if fqn is None else self._open(fqn, module, args, kwargs, body.node_of))

    def leave_body(self, context: Any) -> None:
        """End the call that `enter_body` began."""
        body, _, (result,) = frame_of(context, "result")
        self._stamp(body.graph)
        row = self._body.pop()
        if row is not None:
            self.stack.pop()
            self._close(row, result, body.node_of)

    def _begin_attempt(self, trace: object) -> None:
        """Forget what Dynamo did in an attempt that it gave up, which is where the outer graph has not grown since."""
        place = None if self._graph is None else self._graph._root._prev  # pyright: ignore[reportPrivateUsage]
        if self._attempt is not None and self._attempt[0] is place and self._attempt[1] is not trace:
            start = self._attempt[2]
            self._counts.subtract(call.fqn for call in self.calls[start:])
            del self.calls[start:]
            del self.stack[len(self.stack) - sum(row is not None for row in self._body) :]
            self._body.clear()
        if self._attempt is None or self._attempt[1] is not trace:
            self._attempt = (place, trace, len(self.calls))

    def _open(
        self,
        fqn: str,
        module: torch.nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        node_of: NodeOf,
    ) -> int:
        row = len(self.calls)
        call = TracedCall(fqn, self._counts[fqn], self.stack[-1] if self.stack else None)
        self._counts[fqn] += 1
        self.calls.append(call)
        call.inputs = _mark(row, "inputs", input_ports(module, args, kwargs), node_of)
        self.stack.append(row)
        return row

    def _close(self, row: int, result: Any, node_of: NodeOf) -> None:
        call = self.calls[row]
        call.outputs = _mark(row, "outputs", output_ports(result, call.inputs), node_of)

    def _stamp(self, graph: torch.fx.Graph | None = None) -> None:
        """Give every FX node made since the last stamp to the innermost running call."""
        if graph is None:
            graph = self._graph = _current_graph()
        if graph is None or not self.stack:
            return
        root = graph._root  # pyright: ignore[reportPrivateUsage]
        last = self._last.get(graph, root)
        node = last._next
        while node is not root:
            # `custom` is the one key of a node's meta that decompositions copy to what they make of it.
            node.meta["custom"] = {**node.meta.get("custom", {}), CALL: self.stack[-1]}
            value = node.meta.get("val")
            if isinstance(value, torch.SymInt):
                self.size_calls.setdefault(str(value), self.stack[-1])
            last, node = node, node._next
        self._last[graph] = last


def _current_graph() -> torch.fx.Graph | None:
    mode = proxy_tensor.get_proxy_mode()
    return None if mode is None else mode.tracer.graph


def fx_node_of(tensor: torch.Tensor) -> torch.fx.Node | None:
    """Return the FX node that a tensor stands for in the trace that is running, if any."""
    mode = proxy_tensor.get_proxy_mode()
    if mode is None:
        return None
    if isinstance(tensor, FunctionalTensor):
        functional: Any = torch
        functional._sync(tensor)
        tensor = functional._from_functional_tensor(tensor.elem)
    slot: Any = proxy_tensor.get_proxy_slot(tensor, mode.tracer, None)
    return None if slot is None else slot.proxy.node


def _mark(
    row: int, side: Direction, ports: list[tuple[str, torch.Tensor]], node_of: NodeOf
) -> dict[str, TensorLike]:
    for name, tensor in ports:
        node = node_of(tensor)
        if node is not None:
            _add_ports(node, [(row, side, name)])
    return {name: _tensor_like(tensor) for name, tensor in ports}


def _tensor_like(tensor: torch.Tensor) -> TensorLike:
    return TensorLike(from_torch_dtype(tensor.dtype).name, tuple(tensor.shape))


def _add_ports(node: torch.fx.Node, keys: list[PortKey]) -> None:
    present: list[PortKey] = node.meta.setdefault(PORTS, [])
    present.extend(key for key in keys if key not in present)
