"""A symbolically traced graph, run: another word on which call ran which operation.

`torch.fx` runs a forward with stand-ins for its tensors and writes down what happens to them: six kinds of nodes,
of which four compute. Modules of `torch.nn` stay whole (`call_module`); what other modules do is written node by node
(`call_function`, `call_method`, `get_attr`) with the call that it happened in.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from hx_sidecar_schema import HxError, Observation
from hx_tracer.exporting.errors import last_line
from hx_tracer.models.records import forward_signature
from hx_tracer.watch.calls import EagerRun, TracedCall, first_names, identity
from hx_tracer.watch.operations import Asked, OperationsSeen, PortsSeen, is_plain, modules_run

_CALL = "hx_call"
"""Key among a node's meta: fqn and index of the call that it was made in."""


def observe_symbolically(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, list[TracedCall], Observation]:
    """Trace a model symbolically, run the traced graph, and note what each node computes.

    Args:
        module: In eval mode.
        args: Positional inputs.
        kwargs: Inputs by name.

    Returns:
        The result of the model itself, its calls, and the observation.

    Raises:
        HxError: HX124 if the model cannot be traced symbolically.
    """
    ports = PortsSeen()
    eager = EagerRun(module, ports.note)
    with modules_run():
        result = eager.run(args, kwargs)
    traced, values = _trace(module, args, kwargs)
    rows = {(call.fqn, call.index): row for row, call in enumerate(eager.calls)}
    runner = _Runner(traced, rows)
    try:
        with torch.no_grad(), modules_run(), runner.asked:
            runner.run(*pytree.tree_map(_copy, values))
    except Exception as error:  # a stand-in for what is no tensor
        raise _untraceable(module, last_line(error)) from error
    return result, eager.calls, runner.seen.observation(ports)


def _trace(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[torch.fx.GraphModule, list[Any]]:
    """Return the traced graph, and values for its placeholders."""
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
    inside = [
        name
        for name, value in fixed.items()
        if any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(value))
    ]
    if inside:
        raise _untraceable(module, f"tensors lie inside the argument {inside[0]!r}")
    tracer = _Tracer(module)
    try:
        graph = tracer.trace(module, concrete_args=fixed)
        traced = torch.fx.GraphModule(tracer.root, graph)
    except Exception as error:
        raise _untraceable(module, last_line(error)) from error
    names = [str(node.target) for node in graph.nodes if node.op == "placeholder"]
    # Arguments that are fixed have a number behind their names.
    return traced, [values.get(name, values.get(name.removesuffix("_1"))) for name in names]


def _untraceable(module: torch.nn.Module, reason: str) -> HxError:
    return HxError(
        f"{type(module).__name__!r} cannot be traced symbolically: {reason}.",
        code="HX124",
        hint="Use --strategy auto, which goes on to the next one.",
    )


class _Tracer(torch.fx.Tracer):
    """Stamps every node with the call that it is made in."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self._names = first_names(model)
        self._counts: Counter[str] = Counter({"": 1})
        self._stack: list[tuple[str, int]] = [("", 0)]

    def call_module(
        self, m: torch.nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        fqn = self._names.get(identity(m))
        if fqn is None:  # made on the way, like a slice of a Sequential
            return forward(*args, **kwargs)
        self._stack.append((fqn, self._counts[fqn]))
        self._counts[fqn] += 1
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self._stack.pop()

    def create_node(self, *args: Any, **kwargs: Any) -> torch.fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta[_CALL] = self._stack[-1]
        return node


class _Runner(torch.fx.Interpreter):
    """Notes what every node computes."""

    def __init__(self, module: torch.fx.GraphModule, rows: Mapping[tuple[str, int], int]) -> None:
        super().__init__(module)
        self.seen = OperationsSeen()
        self._rows = rows
        self._running: list[int] = []
        """The row of the call that the node was made in."""
        self.asked = Asked(self._running, self.seen)

    def run_node(self, n: torch.fx.Node) -> Any:
        values = [self.env.get(source) for source in n.all_input_nodes]
        given = [leaf for leaf in pytree.tree_leaves(values) if is_plain(leaf)]
        before = [tensor.clone() for tensor in given]  # nothing says what a node changes in place
        if n.op == "call_module":
            weights = [weight for weight in _weights(self.fetch_attr(str(n.target))) if is_plain(weight)]
            given, before = [*given, *weights], [*before, *weights]
        row = self._rows.get(n.meta.get(_CALL, ("", 0)))
        self._running[:] = [] if row is None else [row]
        result = super().run_node(n)
        self._running.clear()
        if n.op == "placeholder" and isinstance(result, torch.Tensor):
            self.seen.note_input(result)
        if row is not None and n.op not in ("placeholder", "output", "get_attr"):
            self.seen.note(row, f"{n.op} {n.target}", result, given, before)
        return result


def _weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
