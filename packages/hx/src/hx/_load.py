"""Opening an export from its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hx_extractor import Hierarchy


def load(path: str | Path, sidecar: str | Path | None = None) -> Hierarchy:
    """Open an exported, projected or relinked model with its sidecar. Weights are read when something runs or is saved.

    Example:
        >>> import torch, hx
        >>> _ = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),), "linear.onnx", overwrite=True)
        >>> [call.tag for call in hx.load("linear.onnx")]
        ['/Linear']

    Args:
        path: The ONNX file.
        sidecar: Its sidecar; None for `NAME_hierarchy.json` beside it, else the one inside its metadata.

    Raises:
        HxError: HX202 if the file is missing or is no ONNX model, HX204 if external data is missing, cut short or outside
            the file's folder, HX203 if the sidecar belongs to another model, HX301 to HX304 if the sidecar cannot be read.
    """
    from hx_extractor import load

    return load(path, sidecar)
