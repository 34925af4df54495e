"""The values at the ports of chosen calls, in one run of a model in PyTorch."""

import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch.random import fork_rng

from hx_sidecar_schema import redirected
from hx_tracer._torch_internals import without_modes
from hx_tracer.watch.calls import CallKey, EagerRun, disable_fused_attention
from hx_tracer.watch.double_precision import DoublePrecision
from hx_tracer.watch.fx_metadata import Direction
from hx_tracer.watch.preserve import preserve_state
from hx_tracer.watch.uncompiled import initialize_lazy

Kept = TypeVar("Kept")


@dataclass
class CallValues(Generic[Kept]):
    """What was kept of the tensors that one call took and returned, by port name."""

    inputs: dict[str, Kept] = field(default_factory=dict[str, Kept])
    outputs: dict[str, Kept] = field(default_factory=dict[str, Kept])


def record_call_values(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wanted: Collection[CallKey],
    keep: Callable[[torch.Tensor], Kept],
) -> dict[CallKey, CallValues[Kept]]:
    """Run a module once, without gradients, and return what some of its calls take and return.

    The module is as before afterwards, but for parameters that a first run makes. Equal runs draw equal random numbers;
    what the module prints goes to stderr.

    Args:
        module: The root, which gets copies of the inputs. What it raises is raised.
        args: Positional inputs.
        kwargs: Inputs by name.
        wanted: The calls; those that the run does not make are not in the result.
        keep: Returns what to keep of a tensor; called when the call takes or returns it, before anything changes it.
    """
    return _record(module, args, kwargs, wanted, lambda _, tensor: keep(tensor), nullcontext())


def record_exact_values(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wanted: Collection[CallKey],
    keep: Callable[[torch.Tensor, torch.Tensor], Kept],
) -> dict[CallKey, CallValues[Kept]]:
    """Run a module as `record_call_values` does, and each call from its own inputs on in double precision too.

    None of the wanted calls is inside another; `keep` is given a tensor as the model has it and as double precision has it.
    """
    precision = DoublePrecision()

    def both(side: Direction, tensor: torch.Tensor) -> Kept:
        if side == "inputs":
            precision.forget()
        with without_modes():
            return keep(tensor, precision.exact(tensor))

    return _record(module, args, kwargs, wanted, both, precision)


def _record(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wanted: Collection[CallKey],
    keep: Callable[[Direction, torch.Tensor], Kept],
    mode: AbstractContextManager[object],
) -> dict[CallKey, CallValues[Kept]]:
    found: dict[CallKey, CallValues[Kept]] = {}

    def at_port(row: int, side: Direction, name: str, tensor: torch.Tensor) -> None:
        key = run.calls[row].key
        if key in wanted:
            getattr(found.setdefault(key, CallValues()), side)[name] = keep(side, tensor)

    initialize_lazy(module, args, kwargs)
    run = EagerRun(module, at_port)
    with fork_rng(devices=[]), redirected("stdout", sys.stderr), preserve_state(module):
        torch.manual_seed(0)
        with mode, disable_fused_attention():
            run.run(args, kwargs)
    for call in run.calls:  # those without tensors too
        if call.key in wanted:
            found.setdefault(call.key, CallValues())
    return found
