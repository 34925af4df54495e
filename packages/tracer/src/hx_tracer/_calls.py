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
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.fx.experimental import proxy_tensor

from hx_tracer._ports import input_ports, output_ports

CALL = "hx_call"
PORTS = "hx_ports"

Direction = Literal["inputs", "outputs"]
PortKey = tuple[int, Direction, str]
"""Row of the call, side, port name."""


@dataclass
class TracedCall:
    """One run of one module's forward, as seen while the exporter traced it."""

    fqn: str
    index: int
    parent: int | None
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


class CallRecorder:
    """Records the calls of one model while `torch.export` traces it.

    Local to the thread that made it. Balanced when a forward raises. A new trace of the root (the exporter
    tries again with other dynamic shapes) starts over.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._names: dict[int, str] = {}
        for name, module in model.named_modules():  # the first name of each module
            self._names.setdefault(id(module), name)
        self._thread = threading.get_ident()
        self._reset()

    def _reset(self) -> None:
        self.calls: list[TracedCall] = []
        self.stack: list[int] = []
        self.size_calls: dict[str, int] = {}
        """Symbolic expression to the first call that computed it: its FX node loses the stamp later."""
        self._counts: Counter[str] = Counter()
        self._last: dict[torch.fx.Graph, torch.fx.Node] = {}

    @contextmanager
    def watching(self) -> Generator[None]:
        """Watch module calls until the block ends."""
        call_impl: Any = torch.nn.Module._call_impl
        run_node: Any = torch.fx.Interpreter.run_node
        recorder = self

        def watched_call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            # Dynamo traces the bodies of torch.cond in Python of its own; there is no proxy to ask there.
            if torch.compiler.is_dynamo_compiling():
                return call_impl(module, *args, **kwargs)
            return recorder._call(call_impl, module, args, kwargs)

        def watched_run(interpreter: torch.fx.Interpreter, node: torch.fx.Node) -> Any:
            result = run_node(interpreter, node)
            keys = node.meta.get(PORTS)
            if keys and isinstance(result, torch.Tensor):
                successor = fx_node_of(result)
                if successor is not None and successor is not node:
                    _add_ports(successor, keys)
            return result

        torch.nn.Module._call_impl = watched_call
        torch.fx.Interpreter.run_node = watched_run
        try:
            yield
        finally:
            torch.nn.Module._call_impl = call_impl
            torch.fx.Interpreter.run_node = run_node

    def _call(
        self, call_impl: Any, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        fqn = self._names.get(id(module))
        if (
            fqn is None
            or proxy_tensor.get_proxy_mode() is None
            or threading.get_ident() != self._thread
            or (fqn and not self.stack)
        ):
            return call_impl(module, *args, **kwargs)
        if not self.stack:
            self._reset()
        self._stamp()
        row = len(self.calls)
        call = TracedCall(fqn, self._counts[fqn], self.stack[-1] if self.stack else None)
        self._counts[fqn] += 1
        self.calls.append(call)
        ports = input_ports(module, args, kwargs)
        call.inputs = self._mark(row, "inputs", ports)
        self.stack.append(row)
        if row == 0:
            self._stamp()  # what stands before the root's first operation is the root's
        try:
            result = call_impl(module, *args, **kwargs)
            self._stamp()
        finally:
            self.stack.pop()
        call.outputs = self._mark(row, "outputs", output_ports(result, call.inputs))
        return result

    def _mark(self, row: int, side: Direction, ports: list[tuple[str, torch.Tensor]]) -> list[str]:
        for name, tensor in ports:
            node = fx_node_of(tensor)
            if node is not None:
                _add_ports(node, [(row, side, name)])
        return [name for name, _ in ports]

    def _stamp(self) -> None:
        """Give every FX node made since the last stamp to the innermost running call."""
        mode = proxy_tensor.get_proxy_mode()
        if mode is None or not self.stack:
            return
        graph: torch.fx.Graph = mode.tracer.graph  # its own graph in the body of a higher-order operator
        last = self._last.get(graph, graph._root)
        node = last._next
        while node is not graph._root:
            # `custom` is the one key of a node's meta that decompositions copy to what they make of it.
            node.meta["custom"] = {**node.meta.get("custom", {}), CALL: self.stack[-1]}
            value = node.meta.get("val")
            if isinstance(value, torch.SymInt):
                self.size_calls.setdefault(str(value), self.stack[-1])
            last, node = node, node._next
        self._last[graph] = last


def fx_node_of(tensor: torch.Tensor) -> torch.fx.Node | None:
    """Return the FX node that a tensor stands for in the trace that is running, if any."""
    mode = proxy_tensor.get_proxy_mode()
    if mode is None:
        return None
    if isinstance(tensor, FunctionalTensor):
        torch._sync(tensor)
        tensor = torch._from_functional_tensor(tensor.elem)
    elif torch._is_functional_tensor(tensor):
        tensor = torch._from_functional_tensor(tensor)
    slot: Any = proxy_tensor.get_proxy_slot(tensor, mode.tracer, None)
    return None if slot is None else slot.proxy.node


def _add_ports(node: torch.fx.Node, keys: list[PortKey]) -> None:
    present: list[PortKey] = node.meta.setdefault(PORTS, [])
    present.extend(key for key in keys if key not in present)
