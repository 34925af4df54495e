"""Models run as they are written, and torch compiles again afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hx_tracer.watch.uncompiled import run_eagerly


def test_blocks_that_end_in_any_order_leave_the_compiler_on() -> None:
    compiled: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: list[Any]) -> Callable[..., Any]:
        compiled.append(graph)
        return graph.forward

    function = torch.compile(lambda x: x.sin() + 1, backend=backend, fullgraph=True)
    first, second = run_eagerly(nn.Identity()), run_eagerly(nn.Identity())
    first.__enter__()
    second.__enter__()  # of another thread, as torch has one setting for all
    first.__exit__(None, None, None)
    function(torch.ones(2))
    assert compiled == []
    second.__exit__(None, None, None)
    function(torch.ones(2))
    assert len(compiled) == 1
