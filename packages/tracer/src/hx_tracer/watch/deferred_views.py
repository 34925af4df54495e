"""Views of a tensor that was changed in place, which functionalisation makes anew when somebody first reads them.

While a program is decomposed, a view may lag behind the tensor that it shows. The operations that bring it up to date
are written where it is read, often in another module, and a look at it counts as a read. A port is looked at as late as
its value allows, so that watching does not move operations; what brings a view up to date belongs to the call that made
the view.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.functional_tensor import FunctionalTensor

from hx_tracer.watch.fx_metadata import PORTS, PortKey, add_ports, call_of, current_graph, fx_node_of, stamp


class LateViews:
    """Ports that nobody has looked at yet, in one run of `torch.fx.Interpreter`."""

    def __init__(self) -> None:
        self._waiting: list[tuple[torch.fx.Node, FunctionalTensor, list[PortKey]]] = []

    @contextmanager
    def watching(self, node: torch.fx.Node, env: Mapping[torch.fx.Node, Any]) -> Generator[None]:
        """Stamp what is made while a node runs.

        What is made gets the node's call; what brings an argument up to date, the call of the argument.

        Args:
            node: It.
            env: Results of the nodes before it.
        """
        arguments = {
            source: value
            for source in node.all_input_nodes
            if isinstance(value := env.get(source), FunctionalTensor)
        }
        if node.op == "output":
            self._settle()
        if _changes_in_place(node):
            self._settle({_storage(value) for value in arguments.values()})
            for source, value in arguments.items():
                _bring_up_to_date(source, value)
            arguments.clear()
        before = {source: fx_node_of(value) for source, value in arguments.items()}
        with _made_by(node) as new:
            yield
        for source, made in before.items():
            now = fx_node_of(arguments[source])
            if now is not None and now is not made:
                _stamp_back(now, new, call_of(source))

    def note(self, node: torch.fx.Node, result: Any) -> None:
        """Carry the ports of a node that ran to what it became."""
        keys = node.meta.get(PORTS)
        if not keys:
            return
        if isinstance(result, FunctionalTensor):
            self._waiting.append((node, result, keys))
        elif (successor := _successor(result)) is not None and successor is not node:
            add_ports(successor, keys)

    def _settle(self, storages: set[int] | None = None) -> None:
        """Look at the ports in some storages, or at all of them, before what they show is changed."""
        waiting, self._waiting = self._waiting, []
        for node, tensor, keys in waiting:
            if storages is not None and _storage(tensor) not in storages:
                self._waiting.append((node, tensor, keys))
                continue
            _bring_up_to_date(node, tensor)
            successor = fx_node_of(tensor)
            if successor is not None and successor is not node:
                add_ports(successor, keys)


@contextmanager
def _made_by(node: torch.fx.Node) -> Generator[set[torch.fx.Node]]:
    """Stamp the nodes that come to be within the block with a node's call; they are known after it."""
    new: set[torch.fx.Node] = set()
    graph = current_graph()
    root = None if graph is None else graph._root  # pyright: ignore[reportPrivateUsage]
    made = None if root is None else root._prev
    yield new
    call = call_of(node)
    while made is not None and (made := made._next) is not root:
        new.add(made)
        if call is not None:
            stamp(made, call)


def _bring_up_to_date(source: torch.fx.Node, tensor: FunctionalTensor) -> None:
    with _made_by(source):
        torch._sync(tensor)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage, reportUnknownMemberType]


def _stamp_back(node: torch.fx.Node, new: set[torch.fx.Node], call: int | None) -> None:
    """Stamp a node and what it was computed from among the new ones."""
    pending = [node]
    while pending and call is not None:
        current = pending.pop()
        if current in new:
            new.discard(current)
            stamp(current, call, again=True)
            pending += current.all_input_nodes


def _changes_in_place(node: torch.fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _storage(tensor: FunctionalTensor) -> int:
    return tensor.elem.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]


def _successor(result: Any) -> torch.fx.Node | None:
    if isinstance(result, torch.fx.Proxy):  # of a Transformer, which strict capture uses
        return result.node
    return fx_node_of(result) if isinstance(result, torch.Tensor) else None
