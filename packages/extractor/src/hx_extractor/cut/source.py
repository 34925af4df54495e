"""A node as the cut sees it: by the names of what it reads and makes."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True)
class Source:
    """Where a value comes from: a node of the model, or one from before the exporter's optimisation."""

    node: ir.Node
    reads: tuple[str, ...]
    outputs: tuple[str, ...]
