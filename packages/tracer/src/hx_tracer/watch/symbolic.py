"""An observation of a symbolically traced graph: a second source for which call ran which operation.

`torch.fx` runs a forward with proxies for its tensors and records what happens to them. Modules of `torch.nn` stay one
node (`call_module`); what other modules do is recorded node by node (`call_function`, `call_method`, `get_attr`), with
the call that it happened in. The recorded graph is then run, and each node is an operation of the observation.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from hx_sidecar_schema import HxError, first_line
from hx_tracer._torch_internals import is_readable, pytree
from hx_tracer.watch.calls import CallKey, CallLog, EagerRun, PyTorchRun, disable_fused_attention
from hx_tracer.watch.operations import OperationLog, QueryMode
from hx_tracer.watch.ports import forward_signature
from hx_tracer.watch.preserve import preserve_state

_CALL_KEY = "hx_call_key"
"""Key among a node's meta: fqn and index of the call that made it."""


def observe_symbolically(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> PyTorchRun:
    """Run a model, trace it symbolically, run the traced graph, and observe what each of its nodes computes.

    Each begins with the model as it was: what a forward keeps, the next would find.

    Raises:
        HxError: HX124 if the model cannot be traced symbolically.
    """
    log = OperationLog()
    eager = EagerRun(module, log.add_port)
    with disable_fused_attention(), preserve_state(module):
        result = pytree.tree_map_only(torch.Tensor, torch.clone, eager.run(args, kwargs))
    traced, values = _trace(module, args, kwargs)
    runner = _Runner(traced, {call.key: row for row, call in enumerate(eager.calls)}, log)
    try:
        with torch.no_grad(), disable_fused_attention(), runner.queries:
            runner.run(*pytree.tree_map_only(torch.Tensor, torch.clone, values))
    except Exception as error:  # a proxy was taken for a value that is no tensor
        raise _untraceable(module, first_line(error, with_type=True)) from error
    return PyTorchRun(result, eager.calls, log.observation())


def _trace(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[torch.fx.GraphModule, list[Any]]:
    """Return the traced graph, and the values of its placeholders."""
    signature = forward_signature(module)
    if signature is None:
        raise _untraceable(module, "its forward() has no signature")
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in signature.parameters.values()) and args:
        raise _untraceable(module, "its forward() takes any number of positional arguments")
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    values = dict(bound.arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            values.update(values.pop(parameter.name, {}))
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            values.pop(parameter.name, None)
    fixed = {name: value for name, value in values.items() if not isinstance(value, torch.Tensor)}
    for name, value in fixed.items():
        if any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(value)):
            raise _untraceable(module, f"tensors lie inside the argument {name!r}")
    try:
        traced = _traced(module, fixed)
    except Exception as error:  # noqa: BLE001 - a model's own code raises anything
        try:
            traced = _traced(module, fixed, buffers=True)
        except Exception:  # noqa: BLE001 - what it raised first is the reason
            raise _untraceable(module, first_line(error, with_type=True)) from error
    names = [str(node.target) for node in traced.graph.nodes if node.op == "placeholder"]
    # torch.fx appends a number to the names of arguments that are fixed.
    return traced, [values.get(name, values.get(name.removesuffix("_1"))) for name in names]


def _traced(module: torch.nn.Module, fixed: Mapping[str, Any], *, buffers: bool = False) -> torch.fx.GraphModule:
    """Return a symbolically traced graph.

    Args:
        module: What is traced.
        fixed: Arguments that are no tensors.
        buffers: Whether buffers are proxies too. A model may ask a buffer for its value only if they are not, and slice it by
            a size of an input only if they are.
    """
    tracer = _Tracer(module, buffers=buffers)
    with preserve_state(module):
        graph = tracer.trace(module, concrete_args=dict(fixed))
    return torch.fx.GraphModule(tracer.root, graph)


def _untraceable(module: torch.nn.Module, reason: str) -> HxError:
    return HxError(
        f"{type(module).__name__!r} cannot be traced symbolically: {reason}.",
        code="HX124",
        hint="Use strategy='auto', which goes on to the next one.",
        argument="strategy",
    )


class _Tracer(torch.fx.Tracer):
    """Records with every node the call that makes it."""

    def __init__(self, model: torch.nn.Module, *, buffers: bool) -> None:
        super().__init__()
        self.proxy_buffer_attributes = buffers
        self._log = CallLog(model)
        self._log.begin("")

    def call_module(self, m: torch.nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        fqn = self._log.fqn_of(m)
        if fqn is None:  # made on the way, like a slice of a Sequential
            return forward(*args, **kwargs)
        with self._log.running(fqn):
            return super().call_module(m, forward, args, kwargs)

    def create_node(self, *args: Any, **kwargs: Any) -> torch.fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta[_CALL_KEY] = self._log.calls[self._log.stack[-1]].key
        return node


class _Runner(torch.fx.Interpreter):
    """Logs what every node computes."""

    def __init__(self, module: torch.fx.GraphModule, rows: Mapping[CallKey, int], log: OperationLog) -> None:
        super().__init__(module)
        self.log = log
        self._rows = rows
        self._running: list[int] = []
        """The row of the call that made the running node, if any."""
        self.queries = QueryMode(self._running, self.log)

    def run_node(self, n: torch.fx.Node) -> Any:
        values = [self.env.get(source) for source in n.all_input_nodes]
        given = [leaf for leaf in pytree.tree_leaves(values) if is_readable(leaf)]
        before = [tensor.clone() for tensor in given]  # which of them the node changes in place is not known
        if n.op == "call_module":
            called = self.fetch_attr(str(n.target))
            weights = [weight for weight in (*called.parameters(), *called.buffers()) if is_readable(weight)]
            given, before = [*given, *weights], [*before, *weights]
        row = self._rows.get(n.meta.get(_CALL_KEY, ("", 0)))
        self._running[:] = [] if row is None else [row]
        result = super().run_node(n)
        self._running.clear()
        if n.op == "placeholder" and isinstance(result, torch.Tensor):
            self.log.add_input(result)
        if row is not None and n.op not in ("placeholder", "output", "get_attr"):
            self.log.add(row, f"{n.op} {n.target}", result, given, before)
        return result
