"""Parameters that a first run makes, as of `torch.nn.LazyLinear`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from hx_tracer.watch.uncompiled import run_eagerly


def initialize_lazy(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[str]:
    """Run a module once if it has parameters or buffers that are not initialised; return the names of those.

    They stay, and are the same whenever a module like it is run on inputs of these shapes. What the run raises is raised.
    """
    values = (*module.named_parameters(), *module.named_buffers())
    names = [name for name, value in values if torch.nn.parameter.is_lazy(value)]
    if names:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), run_eagerly(module):
            torch.manual_seed(0)
            module(*args, **kwargs)
    return names
