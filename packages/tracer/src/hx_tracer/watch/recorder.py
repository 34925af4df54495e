"""The calls of one model while `torch.export` traces it, and the FX node behind every port.

While the trace runs, new FX nodes are marked with the innermost running call, and the FX node that each port's tensor
stands for at that moment is marked with the port: that stays right when the tensor is changed in place later.

Measured on torch 2.13: the exporter traces with `make_fx`, which calls the modules (non-strict) or interprets what
Dynamo traced (strict capture, bodies of control flow); then it decomposes the program with `torch.fx.Interpreter`, node
by node. Both are watched. A root that is a GraphModule is interpreted, not called.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch

from hx_tracer._torch_internals import (
    changes_in_place,
    current_graph,
    fx_node_of,
    is_functorch_wrapped,
    last_node,
    nodes_after,
    without_torch_function,
)
from hx_tracer.watch.calls import CallLog, TensorLike, TracedCall, tensor_like, watching_calls
from hx_tracer.watch.deferred_views import DeferredViews
from hx_tracer.watch.dynamo_frames import UNKNOWN, dynamo_listener, frame_of
from hx_tracer.watch.fx_metadata import Direction, add_ports, mark
from hx_tracer.watch.patches import patched
from hx_tracer.watch.ports import forward_signature, input_ports, output_ports

NodeOf = Callable[[torch.Tensor], torch.fx.Node | None]


class CallRecorder(CallLog):
    """Records the calls of one model while `torch.export` traces it, in the thread that traces.

    A new trace of the root starts over: the exporter tries again with other dynamic shapes.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        """Prepare for the calls of a root module."""
        super().__init__(model)
        self.dynamo_error: Exception | None = None
        """What failed while Dynamo was watched."""

    def clear(self) -> None:
        """Forget all calls."""
        super().clear()
        self.watched = True
        """Whether the calls are those of the trace, with what they pass."""
        self.size_calls: dict[str, int] = {}
        """First call that computed each symbolic size, by its expression: the size's FX node loses its mark later."""
        self._last: dict[torch.fx.Graph, torch.fx.Node] = {}
        """The last node of each graph that is marked."""
        self._changed: dict[torch.fx.Graph, torch.fx.Node] = {}
        """The last of them that writes into memory."""
        self._graph: torch.fx.Graph | None = None
        self._frames: list[tuple[int, int | None]] = []
        """Depth and row of the calls that Dynamo is in; no row for modules that are no submodules."""
        self._attempt: tuple[object, object, int] | None = None
        """Of Dynamo's last attempt: the last node of the outer graph when it began, what identifies it, and the row of its first call."""

    @contextmanager
    def watching(self) -> Generator[None]:
        """Watch module calls until the block ends."""
        views: WeakKeyDictionary[torch.fx.Interpreter, DeferredViews] = WeakKeyDictionary()

        def run_node(original: Any, interpreter: torch.fx.Interpreter, node: torch.fx.Node) -> Any:
            deferred = views.setdefault(interpreter, DeferredViews())
            with deferred.watching(node, interpreter.env):
                result = original(interpreter, node)
            deferred.carry_ports(node, result)
            return result

        def run(original: Any, interpreter: torch.fx.Interpreter, *args: Any, **kwargs: Any) -> Any:
            module = interpreter.module
            if self.stack or self.fqn_of(module) is None or current_graph() is None:
                return original(interpreter, *args, **kwargs)

            def interpret(*_: object, **__: object) -> Any:
                return original(interpreter, *args, **kwargs)

            signature = forward_signature(module)  # torch 2.13 hands what is taken by name alone over behind the rest
            parameters = [] if signature is None else signature.parameters.values()
            by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
            split = len(args) - len(by_name)
            return self._call(interpret, module, args[:split], dict(zip(by_name, args[split:], strict=True)))

        token = dynamo_listener.set(self)
        try:
            with (
                watching_calls(self._call),
                patched(torch.fx.Interpreter, "run", run),
                patched(torch.fx.Interpreter, "run_node", run_node),
            ):
                yield
        finally:
            dynamo_listener.reset(token)

    def use_eager_calls(self, calls: list[TracedCall], program: torch.export.ExportedProgram) -> None:
        """Take the calls of an eager run, and the exporter's own `nn_module_stack`, where the trace was not seen.

        torch 2.13 has no capture that is not seen; a later version may. Only the root's ports are known then: the
        program's inputs and outputs.
        """
        self.calls, self.size_calls, self.watched = calls, {}, False
        rows = {f"{call.fqn}@{call.index}": row for row, call in enumerate(calls)}
        nodes = {node.name: node for node in program.graph.nodes}
        for node in nodes.values():
            for path, _ in list(node.meta.get("nn_module_stack", {}).values())[-1:]:
                row = rows.get(path if "@" in path else f"{path}@0")
                if row is not None:
                    mark(node, row, replace=True)
        root, signature = calls[0], program.graph_signature
        for port, name in zip(root.inputs, signature.user_inputs, strict=False):
            if name in nodes:
                add_ports(nodes[name], [(0, "inputs", port)])
        for port, name in zip(root.outputs, signature.user_outputs, strict=False):
            if name in nodes:
                add_ports(nodes[name], [(0, "outputs", port)])

    def _call(self, call_impl: Any, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        fqn = self.fqn_of(module)
        tracing = current_graph() is not None
        if tracing and fqn is None and isinstance(module, torch.fx.GraphModule) and not kwargs:
            # torch 2.13 puts what ran under no_grad or autocast into a module of its own, and runs that whole when
            # it decomposes the program: its nodes would lose what is known of them.
            return torch.fx.Interpreter(module).run(*args)
        if fqn is None or not tracing or (fqn and not self.stack):
            return call_impl(module, *args, **kwargs)
        if not self.stack:
            self.clear()
        self._mark_new_nodes()
        row = self._open(fqn, module, args, kwargs, fx_node_of)
        if row == 0:
            self._mark_new_nodes()  # what stands before the root's first operation is the root's
        try:
            result = call_impl(module, *args, **kwargs)
            self._mark_new_nodes()
        finally:
            del self.stack[self.stack.index(row) :]
            self._frames.clear()  # Dynamo may have given up in the middle of one
        self._close(row, result, fx_node_of)
        return result

    def enter_call(self, context: Any) -> None:
        """Begin a call that Dynamo has come to; the frame is the one of `watching_calls`."""
        frame, module, (args, kwargs) = frame_of(context, "args", "kwargs")
        self._begin_attempt(frame.attempt)
        self._mark_new_nodes(frame.graph)
        while self._frames and self._frames[-1][0] >= frame.depth:  # its forward raised, and somebody caught that
            self._leave()
        fqn = self.fqn_of(module)
        if fqn == "" and not self.stack:  # strict capture: Dynamo traces the whole model
            self.clear()
            self._begin_attempt(frame.attempt)
        if fqn is None or (fqn and not self.stack):
            self._frames.append((frame.depth, None))
            return
        row = self._open(fqn, module, args, kwargs, frame.node_of)
        self.calls[row].in_body = frame.in_body
        self._frames.append((frame.depth, row))
        if row == 0:
            self._mark_new_nodes(frame.graph)

    def leave_call(self, context: Any) -> None:
        """End the call that `enter_call` began."""
        frame, _, (result,) = frame_of(context, "result")
        self._mark_new_nodes(frame.graph)
        while self._frames and self._frames[-1][0] > frame.depth:
            self._leave()
        row = self._leave()
        if row is not None:
            self._close(row, result, frame.node_of)
            if result is UNKNOWN:
                self.calls[row].hidden = "It returned an object that cannot be read while Dynamo traces."

    def _leave(self) -> int | None:
        _, row = self._frames.pop()
        if row is not None:
            self.stack.pop()
        return row

    def _begin_attempt(self, attempt: object) -> None:
        """Drop the calls of an attempt that Dynamo gave up: this is another one, and the outer graph has not grown."""
        place = None if self._graph is None else last_node(self._graph)
        if self._attempt is not None and self._attempt[0] is place and self._attempt[1] is not attempt:
            start = self._attempt[2]
            self._counts.subtract(call.fqn for call in self.calls[start:])
            del self.calls[start:]
            while self._frames:
                self._leave()
        if self._attempt is None or self._attempt[1] is not attempt:
            self._attempt = (place, attempt, len(self.calls))

    def _open(
        self, fqn: str, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], node_of: NodeOf
    ) -> int:
        row = self.begin(fqn)
        with without_torch_function():  # what is read here the model did not ask for
            self.calls[row].inputs = self._mark_ports(row, "inputs", input_ports(module, args, kwargs), node_of)
        return row

    def _close(self, row: int, result: Any, node_of: NodeOf) -> None:
        call = self.calls[row]
        with without_torch_function():
            outputs = output_ports(result, call.inputs)
            call.outputs = self._mark_ports(row, "outputs", outputs, node_of)
        if any(is_functorch_wrapped(tensor) for _, tensor in outputs):
            call.hidden = "It ran under a function transform such as vmap, on tensors that are not the graph's."

    def _mark_new_nodes(self, graph: torch.fx.Graph | None = None) -> None:
        """Mark every FX node that was made since the last time with the innermost running call."""
        if graph is None:
            graph = self._graph = current_graph()
        if graph is None or not self.stack:
            return
        for node in nodes_after(graph, self._last.get(graph)):
            mark(node, self.stack[-1], replace=True)
            if changes_in_place(node.target):
                self._changed[graph] = node
            value = node.meta.get("val")
            if isinstance(value, torch.SymInt):
                self.size_calls.setdefault(str(value), self.stack[-1])
            self._last[graph] = node

    def _mark_ports(
        self, row: int, side: Direction, ports: list[tuple[str, torch.Tensor]], node_of: NodeOf
    ) -> dict[str, TensorLike]:
        for name, tensor in ports:
            node = node_of(tensor)
            if node is not None:
                add_ports(node, [(row, side, name)], self._changed.get(node.graph))
        return {name: tensor_like(tensor) for name, tensor in ports}
