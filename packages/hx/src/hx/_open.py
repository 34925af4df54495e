"""Opening models: a file, or a hierarchy in memory, as the functions of hx take them."""

from __future__ import annotations

from pathlib import Path

import hx_extractor
from hx_extractor import Hierarchy

AnyHierarchy = Hierarchy | str | Path
"""What `load` or `export` gave, or the path of an ONNX file with its sidecar beside it."""


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

    Returns:
        The calls, as `export` gives them.

    Raises:
        HxError: HX202 if the file is missing or is no ONNX model, HX204 if external data is missing, cut short or outside
            the file's folder, HX203 if the sidecar belongs to another model, HX301 to HX304 if the sidecar cannot be read.
    """
    return hx_extractor.load(path, sidecar)


def opened(model: AnyHierarchy) -> Hierarchy:
    """Return a hierarchy, read where it is a path, as `load` does."""
    return model if isinstance(model, Hierarchy) else load(model)


def name_of(model: AnyHierarchy) -> str:
    """Return the path of a model; of one in memory, the file name that it would have."""
    return model.name if isinstance(model, Hierarchy) else str(model)
