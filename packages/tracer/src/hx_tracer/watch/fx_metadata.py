"""What is written on FX nodes while a model is traced: the call that made them, and the ports that they are."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.fx.experimental import proxy_tensor

CALL = "hx_call"
"""Key among `meta["custom"]`, the one part of a node's meta that decompositions copy to what they make of it."""
PORTS = "hx_ports"
"""Key among `meta`: a list of `PortKey`."""

Direction = Literal["inputs", "outputs"]
PortKey = tuple[int, Direction, str]
"""Row of the call, side, port name."""


def current_graph() -> torch.fx.Graph | None:
    """Return the graph of the trace that is running, if any."""
    mode = proxy_tensor.get_proxy_mode()
    return None if mode is None else mode.tracer.graph


def fx_node_of(tensor: torch.Tensor) -> torch.fx.Node | None:
    """Return the FX node that a tensor stands for in the trace that is running, if any.

    To look does not bring a view up to date that functionalisation has left behind.
    """
    mode = proxy_tensor.get_proxy_mode()
    if mode is None:
        return None
    if isinstance(tensor, FunctionalTensor):
        functional: Any = torch
        tensor = functional._from_functional_tensor(tensor.elem)
    slot: Any = proxy_tensor.get_proxy_slot(tensor, mode.tracer, None)
    return None if slot is None else slot.proxy.node


def call_of(node: torch.fx.Node) -> int | None:
    """Return the row of the call that made a node; None where it was not seen."""
    return node.meta.get("custom", {}).get(CALL)


def stamp(node: torch.fx.Node, call: int, *, again: bool = False) -> None:
    """Write the call that made a node.

    Args:
        node: It.
        call: Row of the call.
        again: Whether this replaces what is written.
    """
    custom = node.meta.get("custom", {})
    node.meta["custom"] = {**custom, CALL: call} if again else {CALL: call, **custom}


def add_ports(node: torch.fx.Node, keys: list[PortKey]) -> None:
    """Add ports to those that a node is."""
    present: list[PortKey] = node.meta.setdefault(PORTS, [])
    present.extend(key for key in keys if key not in present)


def is_wrapped(tensor: torch.Tensor) -> bool:
    """Say whether a function transform such as vmap runs on a tensor, which has no data of its own then."""
    functorch: Any = torch._C._functorch  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownMemberType]
    return functorch.is_functorch_wrapped_tensor(tensor)
