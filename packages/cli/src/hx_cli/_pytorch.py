"""The PyTorch model that numbers are compared with."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hx_tracer import LoadedModel


@dataclass(frozen=True)
class Against:
    """The model of `--against`, and how it is loaded."""

    spec: str
    random_weights: bool = False
    task: str | None = None
    dtype: str | None = None

    def load(self) -> LoadedModel:
        """Load it; imports torch.

        Raises:
            HxError: As `hx_tracer.load_model`.
        """
        from hx_tracer import load_model

        with redirect_stdout(sys.stderr):  # what a factory prints is no data of ours
            return load_model(self.spec, random_weights=self.random_weights, task=self.task, dtype=self.dtype)
