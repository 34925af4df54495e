"""The PyTorch model that a command exports, or compares with."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hx_tracer import LoadedModel


@dataclass(frozen=True)
class PyTorchModel:
    """A model as the user names it, and how it is loaded."""

    spec: str
    random_weights: bool = False
    task: str | None = None
    dtype: str | None = None
    attn: str | None = None
    experts: str | None = None

    def load(self) -> LoadedModel:
        """Load it; imports torch.

        Raises:
            HxError: As `hx_tracer.load_model`.
        """
        from hx_tracer import load_model

        with redirect_stdout(sys.stderr):  # what a factory prints is no data of ours
            return load_model(
                self.spec,
                random_weights=self.random_weights,
                task=self.task,
                dtype=self.dtype,
                attn=self.attn,
                experts=self.experts,
            )
