"""Ports on views of a tensor that was changed in place, while a program is decomposed.

Functionalisation (torch 2.13) brings such a view up to date when somebody reads it first, often in another module than
the one that made the view, and looking up its FX node counts as reading. So the port on a view is looked up as late as
its value allows: before the memory is changed again, or at the end; and not before what was changed by then through
another view of the same memory. The operations that bring a view up to date belong
to the call that made the view. That way watching moves no operation.
"""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from hx_tracer._torch_internals import (
    FunctionalTensor,
    changes_in_place,
    current_graph,
    fx_node_of,
    last_node,
    nodes_after,
    storage_id,
    synchronize,
    times_changed,
)
from hx_tracer.watch.fx_metadata import LATE_PORTS, PORTS, SETTLED_PORTS, PortKey, add_ports, call_of, mark


class DeferredViews:
    """Ports whose FX nodes have not been looked up yet, in one run of `torch.fx.Interpreter`."""

    def __init__(self) -> None:
        """Start without any."""
        self._deferred: list[tuple[torch.fx.Node, FunctionalTensor, list[PortKey]]] = []
        self._late: dict[PortKey, tuple[torch.fx.Node, Any]] = {}
        """Ports that wait for a node that writes into memory, perhaps into theirs."""

    @contextmanager
    def watching(self, node: torch.fx.Node, env: Mapping[torch.fx.Node, Any]) -> Generator[None]:
        """Mark the FX nodes that are made while the interpreter runs a node of the old graph.

        They get the node's call, but those that bring an argument up to date get the call of the argument. `env` has the
        results of the nodes before it.
        """
        arguments = {
            source: value for source in node.all_input_nodes if isinstance(value := env.get(source), FunctionalTensor)
        }
        if node.op == "output":
            self._settle(list(self._late))  # what they waited for was removed
            self._look_up()
        if changes_in_place(node.target):
            self._look_up({storage_id(value.elem) for value in arguments.values()})
            for source, value in arguments.items():
                _synchronize(source, value)
            arguments.clear()
        before = {source: (fx_node_of(value), times_changed(value)) for source, value in arguments.items()}
        with _marking_new_nodes(node) as new:
            yield
        for source, (old, changes) in before.items():
            current = fx_node_of(arguments[source])
            # Else the node itself changed it, as batch normalisation does its statistics: its schema does not say so.
            is_view_made_anew = current is not old and times_changed(arguments[source]) == changes
            if current is not None and is_view_made_anew:
                _mark_ancestors(current, new, call_of(source))

    def carry_ports(self, node: torch.fx.Node, result: Any) -> None:
        """Carry the ports of a node that ran to the FX node of its result, now or, for a view, later."""
        late = set(node.meta.get(LATE_PORTS, ()))
        self._late.update((key, (node, result)) for key in late)
        self._carry(node, result, [key for key in node.meta.get(PORTS, ()) if key not in late])
        self._settle(node.meta.get(SETTLED_PORTS, ()))

    def _settle(self, keys: Iterable[PortKey]) -> None:
        for key in keys:
            if key in self._late:
                self._carry(*self._late.pop(key), [key])

    def _carry(self, node: torch.fx.Node, result: Any, keys: list[PortKey]) -> None:
        if not keys:
            return
        if isinstance(result, FunctionalTensor):
            self._deferred.append((node, result, keys))
        elif (successor := _result_node(result)) is not None and successor is not node:
            add_ports(successor, keys)

    def _look_up(self, storages: set[int] | None = None) -> None:
        """Look up the deferred ports whose memory is one of `storages`; all of them for None."""
        deferred, self._deferred = self._deferred, []
        for node, tensor, keys in deferred:
            if storages is not None and storage_id(tensor.elem) not in storages:
                self._deferred.append((node, tensor, keys))
                continue
            _synchronize(node, tensor)
            successor = fx_node_of(tensor)
            if successor is not None and successor is not node:
                add_ports(successor, keys)


@contextmanager
def _marking_new_nodes(node: torch.fx.Node) -> Generator[set[torch.fx.Node]]:
    """Mark the FX nodes that are made within the block with the call of `node`; the set has them after the block."""
    new: set[torch.fx.Node] = set()
    graph = current_graph()
    last = None if graph is None else last_node(graph)
    yield new
    call = call_of(node)
    for made in nodes_after(graph, last) if graph is not None else ():
        new.add(made)
        if call is not None:
            mark(made, call)


def _synchronize(source: torch.fx.Node, tensor: FunctionalTensor) -> None:
    with _marking_new_nodes(source):
        synchronize(tensor)


def _mark_ancestors(node: torch.fx.Node, new: set[torch.fx.Node], call: int | None) -> None:
    """Mark a node and those of its ancestors that are in `new` with a call, and take them out of `new`."""
    pending = [node]
    while pending and call is not None:
        current = pending.pop()
        if current in new:
            new.discard(current)
            mark(current, call, replace=True)
            pending += current.all_input_nodes


def _result_node(result: Any) -> torch.fx.Node | None:
    if isinstance(result, torch.fx.Proxy):  # of a Transformer, which strict capture uses
        return result.node
    return fx_node_of(result) if isinstance(result, torch.Tensor) else None
