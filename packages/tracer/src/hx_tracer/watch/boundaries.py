"""The tensors at the ports of chosen calls, in one run of a model in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch

from hx_tracer.watch.calls import EagerRun, disable_fused_attention
from hx_tracer.watch.fx_metadata import Direction

CallKey = tuple[str, int]
"""Fqn and index of a call."""
Kept = TypeVar("Kept")


@dataclass
class Boundary(Generic[Kept]):
    """What was kept of the tensors that one call took and returned, by port name."""

    inputs: dict[str, Kept] = field(default_factory=dict[str, Kept])
    outputs: dict[str, Kept] = field(default_factory=dict[str, Kept])


def record_boundaries(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wanted: Collection[CallKey],
    keep: Callable[[torch.Tensor], Kept],
) -> dict[CallKey, Boundary[Kept]]:
    """Run a module once, without gradients, and return what crosses the boundaries of some of its calls.

    Args:
        module: The root. What it raises is raised.
        args: Positional inputs; it gets copies.
        kwargs: Inputs by name.
        wanted: The calls to keep tensors of.
        keep: Returns what to keep of a tensor; called at the moment when the tensor crosses, before anything changes it.

    Returns:
        The boundaries of those wanted calls that the run made.
    """
    found: dict[CallKey, Boundary[Kept]] = {}

    def at_port(row: int, side: Direction, name: str, tensor: torch.Tensor) -> None:
        key = (run.calls[row].fqn, run.calls[row].index)
        if key in wanted:
            getattr(found.setdefault(key, Boundary()), side)[name] = keep(tensor)

    run = EagerRun(module, at_port)
    with disable_fused_attention():
        run.run(args, kwargs)
    for call in run.calls:  # those without tensors too
        if (call.fqn, call.index) in wanted:
            found.setdefault((call.fqn, call.index), Boundary())
    return found
