"""A node as the cut sees it: by the names of what it reads and makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True, eq=False)
class Source:
    """Where a value comes from: a node of the model, or one from before the exporter's optimisation."""

    node: ir.Node
    reads: Sequence[str]
    outputs: Sequence[str]

    @property
    def key(self) -> str:
        """The first non-empty output: what the node is called in a sidecar."""
        return next((name for name in self.outputs if name), "")
