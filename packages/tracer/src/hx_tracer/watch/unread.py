"""Runs that do not read the weights of a module."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch

from hx_graph import is_small
from hx_tracer._torch_internals import TorchDispatchMode, changes_in_place, pytree, returns_view
from hx_tracer.watch.file_weights import FileWeights

_unread: WeakKeyDictionary[torch.nn.Module, FileWeights] = WeakKeyDictionary()


def leave_unread(module: torch.nn.Module, weights: FileWeights) -> None:
    """Let no run of a module compute with its large weights from now on: see `weights_unread`."""
    _unread[module] = weights


def unread_weights(module: torch.nn.Module) -> FileWeights | None:
    """Return what `leave_unread` named for a module."""
    return _unread.get(module)


def is_unread(module: torch.nn.Module) -> bool:
    """Say whether the numbers that a module computes mean nothing: its weights are not read."""
    return module in _unread


@contextmanager
def weights_unread(module: torch.nn.Module) -> Generator[None]:
    """Let a module run in the block without a look at weights that `leave_unread` named.

    What is computed of them is noise of the right shape and dtype; all else is computed. So modules are called as ever,
    with arguments of the same sizes.
    """
    weights = unread_weights(module)
    if weights is None:
        yield
        return
    with _Unread(weights):
        yield


class _Unread(TorchDispatchMode):
    def __init__(self, weights: FileWeights) -> None:
        super().__init__()
        self._weights = weights
        self._noise = torch.Generator().manual_seed(0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if returns_view(func) or not any(map(self._is_unread, leaves)):
            return func(*args, **kwargs)
        if changes_in_place(func):  # the first argument is what it writes to, and returns
            return args[0]
        meta_args, meta_kwargs = pytree.tree_map_only(torch.Tensor, lambda one: one.to("meta"), (args, kwargs))
        meta_kwargs |= {"device": "meta"} if "device" in kwargs else {}
        try:
            result = func(*meta_args, **meta_kwargs)
        except NotImplementedError:  # nobody wrote what it returns on the meta device
            return func(*args, **kwargs)
        return pytree.tree_map_only(torch.Tensor, self._made, result)

    def _is_unread(self, tensor: torch.Tensor) -> bool:
        return not is_small(tensor.shape) and self._weights.holds(tensor)

    def _made(self, like: torch.Tensor) -> torch.Tensor:
        """Return noise; what is as large as weights is likely one that was converted, and is not to be read either."""
        large = self._weights.stand_in(like) if like.nbytes > _LARGE_BYTES else None
        if large is not None:
            return large
        made = torch.zeros(like.shape, dtype=like.dtype)
        return made.normal_(0.0, _SPREAD, generator=self._noise) if made.is_floating_point() else made


_LARGE_BYTES = 64 << 20
_SPREAD = 0.1
"""Standard deviation of the noise."""
