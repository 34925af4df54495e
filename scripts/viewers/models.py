"""Models whose files are opened in viewers, and all that hx writes of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import hx


class Block(torch.nn.Module):
    """A layer, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm = torch.nn.Linear(8, 8), torch.nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        return self.norm(torch.relu(self.inner(x)) + x)


class Branching(torch.nn.Module):
    """A recurrence, and a branch with modules in it."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.rnn = Block(), torch.nn.GRU(8, 8, batch_first=True)
        self.one, self.other = Block(), Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        x = self.rnn(self.block(self.block(x)))[0]
        return torch.cond(x.sum() > 0, lambda x: self.one(x), lambda x: self.other(x), (x,))


MODELS: dict[str, tuple[Any, Any]] = {
    "bert": ("tiny:bert", ()),
    "branching": (Branching().eval(), (torch.randn(2, 3, 8),)),
}


@dataclass(frozen=True)
class Written:
    """What hx wrote of one model."""

    name: str
    exported: hx.Export
    folder: Path

    @property
    def model(self) -> Path:
        """The model, its sidecar embedded."""
        return self.folder / f"{self.name}.onnx"

    @property
    def page(self) -> Path:
        """Of `hx report`."""
        return self.folder / f"{self.name}.html"

    @property
    def explorer(self) -> Path:
        """Files for Model Explorer."""
        return self.folder / self.name


def write(name: str, folder: Path) -> Written:
    """Export one of `MODELS`, take all numbers of it, and write what viewers read."""
    exported = hx.export(*MODELS[name])
    written = Written(name, exported, folder)
    exported.save(written.model, embed=True)
    records: dict[str, Any] = {
        "profile": hx.profile(exported, runs=5),
        "verify": hx.verify(exported),
        "analyze": hx.analyze(exported, detailed=True),
    }
    hx.view(exported, written.explorer, **records)
    hx.report(exported, written.page, **records)
    return written
