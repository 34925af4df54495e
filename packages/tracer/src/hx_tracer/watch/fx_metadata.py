"""What is written on FX nodes while a model is traced: the call that made them, and the ports that they carry.

Measured on torch 2.13: `meta["custom"]` is the one part of a node's meta that decompositions copy to the nodes that they
make of it, so the call stands there. Ports stand in `meta` itself, and `deferred_views` carries them over.
"""

from typing import Literal

import torch

CALL = "hx_call"
"""Key among `meta["custom"]`: row of the call that made the node."""
PORTS = "hx_ports"
"""Key among `meta`: a list of `PortKey`."""
LATE_PORTS = "hx_late_ports"
"""Key among `meta`: those of `PORTS` that a node carries only once another one has run."""
SETTLED_PORTS = "hx_settled_ports"
"""Key among `meta` of that other one: the same ports."""

Direction = Literal["inputs", "outputs"]
PortKey = tuple[int, Direction, str]
"""Row of the call, side, port name."""


def call_of(node: torch.fx.Node) -> int | None:
    """Return the row of the call that made a node; None where no call was running in sight of the watcher."""
    return node.meta.get("custom", {}).get(CALL)


def mark(node: torch.fx.Node, call: int, *, replace: bool = False) -> None:
    """Write the row of the call that made a node; a row that is written already stays, unless it is to be replaced."""
    custom = node.meta.get("custom", {})
    node.meta["custom"] = {**custom, CALL: call} if replace else {CALL: call, **custom}


def add_ports(node: torch.fx.Node, keys: list[PortKey], changed: torch.fx.Node | None = None) -> None:
    """Add ports to those that a node carries.

    Args:
        node: What made the tensor, or changed it last as a whole.
        keys: The ports.
        changed: The last node before the ports that writes into memory: it may be a view of the tensor that it changed.
    """
    present: list[PortKey] = node.meta.setdefault(PORTS, [])
    new = [key for key in keys if key not in present]
    present.extend(new)
    if changed is not None and node < changed:
        node.meta.setdefault(LATE_PORTS, []).extend(new)
        changed.meta.setdefault(SETTLED_PORTS, []).extend(new)
