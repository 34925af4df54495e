"""MACs of an exported model beside PyTorch's own flop counter, module by module."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import hx


class Module(NamedTuple):
    """Both counts of one module, all its calls together."""

    fqn: str
    status: str
    """What became of its last call in the graph."""
    onnx: int
    pytorch: float
    """Half the flops."""


def counted(module: nn.Module, inputs: dict[str, Any]) -> list[Module]:
    """Export a module and count both sides, with the `math` implementation of attention in PyTorch.

    Its counter (2.13) knows no flops of the fused kernel that a CPU takes otherwise.
    """
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(**inputs)
    root = type(module).__name__
    flops = {name: sum(by_operator.values()) for name, by_operator in counter.get_flop_counts().items()}
    exported = hx.export(module, inputs, verify=False)
    macs: Counter[str] = Counter()
    for entry in hx.analyze(exported, [exported.root.tag]).calls:
        assert entry.total is not None
        macs[entry.fqn] += entry.total.macs
    status = {call.fqn: call.status for call in exported}
    return [Module(fqn, status[fqn], macs[fqn], flops.get(f"{root}.{fqn}" if fqn else root, 0) / 2) for fqn in status]
