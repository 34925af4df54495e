"""The calls of one model while `torch.export` traces it, and the FX node behind every port.

While the trace runs, new FX nodes are stamped with the call they were made in, and the FX node that each port's
tensor stands for at that moment is noted, which stays right when the tensor is later changed in place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.fx.experimental import proxy_tensor

from hx_tracer.watch.calls import TensorLike, TracedCall, first_names, identity, tensor_like, watching_calls
from hx_tracer.watch.deferred_views import LateViews
from hx_tracer.watch.dynamo_frames import UNKNOWN, body_watcher, frame_of
from hx_tracer.watch.fx_metadata import Direction, add_ports, current_graph, fx_node_of, is_wrapped, stamp
from hx_tracer.watch.patches import replaced
from hx_tracer.watch.ports import input_ports, output_ports

NodeOf = Callable[[torch.Tensor], torch.fx.Node | None]


class CallRecorder:
    """Records the calls of one model while `torch.export` traces it.

    Local to the thread that made it. Balanced when a forward raises. A new trace of the root (the exporter
    tries again with other dynamic shapes) starts over.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._names = first_names(model)
        self.body_error: Exception | None = None
        self._reset()

    def _reset(self) -> None:
        self.calls: list[TracedCall] = []
        self.stack: list[int] = []
        self.size_calls: dict[str, int] = {}
        """Symbolic expression to the first call that computed it: its FX node loses the stamp later."""
        self._counts: Counter[str] = Counter()
        self._last: dict[torch.fx.Graph, torch.fx.Node] = {}
        self._graph: torch.fx.Graph | None = None
        self._body: list[tuple[int, int | None]] = []
        """Depth of the frame and row of the calls that Dynamo is in; None for modules without a name."""
        self._attempt: tuple[object, object, int] | None = None

    @contextmanager
    def watching(self) -> Generator[None]:
        """Watch module calls until the block ends."""
        views: WeakKeyDictionary[torch.fx.Interpreter, LateViews] = WeakKeyDictionary()

        def run_node(original: Any, interpreter: torch.fx.Interpreter, node: torch.fx.Node) -> Any:
            late = views.setdefault(interpreter, LateViews())
            with late.watching(node, interpreter.env):
                result = original(interpreter, node)
            late.note(node, result)
            return result

        def run(original: Any, interpreter: torch.fx.Interpreter, *args: Any, **kwargs: Any) -> Any:
            module = interpreter.module
            if self.stack or identity(module) not in self._names or current_graph() is None:
                return original(interpreter, *args, **kwargs)
            # torch.export interprets a root that is a GraphModule, and does not call it.

            def interpret(_: object, *args: Any) -> Any:
                return original(interpreter, *args, **kwargs)

            return self._call(interpret, module, args, {})

        token = body_watcher.set(self)
        try:
            with (
                watching_calls(self._call),
                replaced(torch.fx.Interpreter, "run", run),
                replaced(torch.fx.Interpreter, "run_node", run_node),
            ):
                yield
        finally:
            body_watcher.reset(token)

    def adopt(self, calls: list[TracedCall], program: torch.export.ExportedProgram) -> None:
        """Take the calls of an eager run where the trace was not seen, and the exporter's own module stacks.

        None of the ways that torch 2.13 has is such; a later one may be. Only the root's ports are known then: the
        program's inputs and outputs.
        """
        self.calls, self.size_calls = calls, {}
        rows = {f"{call.fqn}@{call.index}": row for row, call in enumerate(calls)}
        nodes = {node.name: node for node in program.graph.nodes}
        for node in nodes.values():
            paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
            if paths:
                row = rows.get(paths[-1] if "@" in paths[-1] else f"{paths[-1]}@0")
                if row is not None:
                    stamp(node, row, again=True)
        signature = program.graph_signature
        sides: tuple[tuple[Direction, Any], ...] = (
            ("inputs", signature.user_inputs),
            ("outputs", signature.user_outputs),
        )
        for side, names in sides:
            for port, name in zip(getattr(calls[0], side), names, strict=False):
                if name in nodes:
                    add_ports(nodes[name], [(0, side, port)])

    def _call(
        self, call_impl: Any, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        fqn = self._names.get(identity(module))
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
            self._body.clear()  # Dynamo may have given up in the middle of one
        self._close(row, result, fx_node_of)
        return result

    def enter_body(self, context: Any) -> None:
        """Begin a call that Dynamo has come to; the frame is the one of `watching_calls`."""
        body, module, (args, kwargs) = frame_of(context, "args", "kwargs")
        self._begin_attempt(body.trace)
        self._stamp(body.graph)
        while self._body and self._body[-1][0] >= body.depth:  # its forward raised, and somebody caught that
            self._leave()
        fqn = self._names.get(identity(module))
        if fqn == "" and not self.stack:  # strict capture: Dynamo traces the whole model
            self._reset()
            self._begin_attempt(body.trace)
        if fqn is None or (fqn and not self.stack):
            self._body.append((body.depth, None))
            return
        row = self._open(fqn, module, args, kwargs, body.node_of)
        self.calls[row].in_body = body.in_body
        self._body.append((body.depth, row))
        if row == 0:
            self._stamp(body.graph)

    def leave_body(self, context: Any) -> None:
        """End the call that `enter_body` began."""
        body, _, (result,) = frame_of(context, "result")
        self._stamp(body.graph)
        while self._body and self._body[-1][0] > body.depth:
            self._leave()
        row = self._leave()
        if row is not None:
            self._close(row, result, body.node_of)
            if result is UNKNOWN:
                self.calls[
                    row
                ].hidden = "It returned an object into which hx cannot look while Dynamo traces."

    def _leave(self) -> int | None:
        _, row = self._body.pop()
        if row is not None:
            self.stack.pop()
        return row

    def _begin_attempt(self, trace: object) -> None:
        """Forget what Dynamo did in an attempt that it gave up, which is where the outer graph has not grown since."""
        place = None if self._graph is None else self._graph._root._prev  # pyright: ignore[reportPrivateUsage]
        if self._attempt is not None and self._attempt[0] is place and self._attempt[1] is not trace:
            start = self._attempt[2]
            self._counts.subtract(call.fqn for call in self.calls[start:])
            del self.calls[start:]
            while self._body:
                self._leave()
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
        outputs = output_ports(result, call.inputs)
        call.outputs = _mark(row, "outputs", outputs, node_of)
        if any(is_wrapped(tensor) for _, tensor in outputs):
            call.hidden = (
                "It ran under a function transform such as vmap, on tensors that are not the graph's."
            )

    def _stamp(self, graph: torch.fx.Graph | None = None) -> None:
        """Give every FX node made since the last stamp to the innermost running call."""
        if graph is None:
            graph = self._graph = current_graph()
        if graph is None or not self.stack:
            return
        root = graph._root  # pyright: ignore[reportPrivateUsage]
        last = self._last.get(graph, root)
        node = last._next
        while node is not root:
            stamp(node, self.stack[-1], again=True)
            value = node.meta.get("val")
            if isinstance(value, torch.SymInt):
                self.size_calls.setdefault(str(value), self.stack[-1])
            last, node = node, node._next
        self._last[graph] = last


def _mark(
    row: int, side: Direction, ports: list[tuple[str, torch.Tensor]], node_of: NodeOf
) -> dict[str, TensorLike]:
    for name, tensor in ports:
        node = node_of(tensor)
        if node is not None:
            add_ports(node, [(row, side, name)])
    return {name: tensor_like(tensor) for name, tensor in ports}
