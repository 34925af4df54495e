"""Which modules compute alike, as far as their attributes tell: what `forward()` may decide by."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import torch

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
_CONTAINERS: tuple[type, ...] = (list, tuple, dict, OrderedDict, set, frozenset)
"""Read entry by entry; a subclass may load what it does not hold when it is asked."""


class Settings:
    """Numbers modules; two have one number where all that they hold but tensors is equal, as in the modules below them.

    Classes, functions and objects are equal to themselves alone, hooks too.
    """

    def __init__(self) -> None:
        """Number no module yet."""
        self._numbers: dict[Hashable, int] = {}
        self._modules: dict[int, int] = {}

    def of(self, module: torch.nn.Module) -> int:
        """Return the number of a module, which must live as long as this."""
        if id(module) not in self._modules:
            self._modules[id(module)] = -1  # what it is held by, it may hold too
            held = tuple((name, self._held(value)) for name, value in sorted(vars(module).items()))
            self._modules[id(module)] = self._number((id(type(module)), held))
        return self._modules[id(module)]

    def _number(self, key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _held(self, value: Any, around: frozenset[int] = frozenset()) -> Hashable:
        kind = type(value)  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, torch.Tensor):
            return "tensor"
        if isinstance(value, torch.nn.Module):
            return "module", self.of(value)
        if kind in _CONTAINERS and id(value) not in around:
            around |= {id(value)}
            entries = value.items() if isinstance(value, dict) else value
            held = [self._held(entry, around) for entry in entries]
            return kind.__name__, frozenset(held) if isinstance(value, set | frozenset) else tuple(held)
        return (kind.__name__, repr(value)) if kind in _PLAIN else ("object", id(value))
