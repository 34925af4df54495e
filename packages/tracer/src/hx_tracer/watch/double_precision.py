"""A run in single precision, with what the same operations give in double precision beside it."""

from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from hx_tracer._torch_internals import (
    TorchDispatchMode,
    changes_in_place,
    is_readable,
    is_repeatable,
    pytree,
    without_modes,
)

WIDER = {torch.float32: torch.float64, torch.complex64: torch.complex128}


class DoublePrecision(TorchDispatchMode):
    """Runs every ATen operation once more in double precision, on what came before it in double precision.

    The model sees its own numbers alone, so its types, branches, indices and random numbers are those of any other run.
    What is in half precision is what the model has. An operation without a kernel for doubles ends the chain: what comes
    behind it begins with single precision again.
    """

    supports_higher_order_operators = True  # torch.cond is one operation

    def __init__(self) -> None:
        """Begin with what the model has."""
        super().__init__()
        self._exact: Any = WeakTensorKeyDictionary()

    def forget(self) -> None:
        """Begin anew with what the model has now."""
        self._exact = WeakTensorKeyDictionary()

    def exact(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor in double precision; itself where it is not of single precision."""
        if not _is_single(tensor):
            return tensor
        found = self._exact.get(tensor)
        if found is None:
            with without_modes():
                found = tensor.detach().to(WIDER[tensor.dtype])
            if not isinstance(tensor, torch.nn.Parameter):  # all of them together may be more than there is memory for
                self._exact[tensor] = found
        return found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and again in double precision."""
        kwargs = kwargs or {}
        writes = changes_in_place(func)

        def widened(leaf: Any) -> Any:
            if isinstance(leaf, torch.Tensor):
                return self.exact(leaf) if _is_single(leaf) else leaf.clone() if writes else leaf
            return WIDER.get(leaf, leaf) if isinstance(leaf, torch.dtype) else leaf

        again = pytree.tree_map(widened, (args, kwargs)) if is_repeatable(func) else None
        result = func(*args, **kwargs)
        if again is not None:
            try:
                exact = func(*again[0], **again[1])
            except (RuntimeError, ValueError):  # it takes no doubles: torch 2.13 often says so in a plain RuntimeError
                again = None
            else:
                for mine, other in zip(pytree.tree_leaves(result), pytree.tree_leaves(exact), strict=True):
                    if _is_single(mine) and other.dtype == WIDER[mine.dtype] and other.shape == mine.shape:
                        self._exact[mine] = other
        if again is None and writes:
            for leaf in pytree.tree_leaves((args, kwargs)):
                if isinstance(leaf, torch.Tensor):
                    self._exact.pop(leaf, None)
        return result


def _is_single(value: Any) -> bool:
    return is_readable(value) and value.dtype in WIDER
