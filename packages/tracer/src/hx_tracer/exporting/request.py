"""What an exporter is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hx_sidecar_schema import TorchNN
from hx_tracer.inputs.dynamic_axes import Axes
from hx_tracer.watch.calls import TracedCall


@dataclass(frozen=True)
class Job:
    """A module with its example inputs, and what a run of it in PyTorch showed."""

    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    axes: Mapping[str, Axes]
    opset: int | None
    torch_nn: TorchNN
    result: Any
    """What the module returned."""
    calls: list[TracedCall]
    """Its calls, in order."""
