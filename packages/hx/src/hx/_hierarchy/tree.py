"""The calls of an export as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hx._open import AnyHierarchy, opened

if TYPE_CHECKING:
    from hx_extractor import TreeReport


def tree(
    model: AnyHierarchy, modules: str | Sequence[str] = (), *, depth: int | None = None, everything: bool = False
) -> TreeReport:
    """Return the calls of an export, a parent before its children, with the nodes and weights of each.

    Example:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> [(call.tag, call.weights) for call in hx.tree(exported, everything=True).calls]
        [('/Sequential', 15), ('/Sequential/Linear.0', 15)]

    Args:
        model: An export, or the file of one.
        modules: Patterns: these calls and what is below them; empty for the whole model.
        depth: Levels below each of them; None for all.
        everything: Untagged modules too. What an untagged call holds counts for the nearest call that is shown.

    Raises:
        HxError: HX401 if a pattern matches nothing; else as `load`.
    """
    return opened(model).tree(modules, depth=depth, everything=everything)
