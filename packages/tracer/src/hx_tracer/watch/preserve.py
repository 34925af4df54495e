"""Running a model without leaving anything behind in it."""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from types import CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import numpy as np
import torch

from hx_tracer._torch_internals import pytree, version_of

_CONTAINERS: tuple[Any, ...] = (OrderedDict, dict, list, set, deque, bytearray)
_FOREIGN = sys.stdlib_module_names | {"torch", "numpy"}
"""Packages whose objects and classes are no state of a model, containers and modules excepted."""
_LRU_CACHE: Any = type(functools.cache(len))
_MISSING = object()


@contextmanager
def preserve_state(model: torch.nn.Module) -> Generator[None]:
    """Put back on exit what a run may change in a model; parameters keep the numbers that they have then.

    A forward may fill a cache, count its calls, register hooks, or swap its own parts. What one run leaves would be
    found by the next; what a trace leaves are tensors without data.

    Restored is all that can be reached from the modules through attributes, containers, classes, and closures and
    defaults of functions: which entries and attributes there are, and the data of tensors and arrays among them. Of what
    is global only tensors are taken out again, and `lru_cache`s emptied: more may say what was registered elsewhere.
    What cannot be looked into is not restored, such as iterators, nor objects of Python's own library.
    """
    state = _State()
    state.hold(model)
    try:
        yield
    finally:
        state.restore()


class _State:
    """What was reached, with what puts it back where it has changed."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}
        self._undo: list[Callable[[], object]] = []

    def hold(self, value: Any) -> None:
        """Remember a value and all that can be reached from it."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if id(one) not in self._seen and not isinstance(one, (str, bytes, int, float, type(None))):
                self._seen[id(one)] = one  # kept, so that no other object gets its id
                waiting += self._held(one)

    def restore(self) -> None:
        """Put everything back."""
        for undo in self._undo:
            undo()

    def _held(self, value: Any) -> Iterable[Any]:
        """Remember one value, and return what it refers to."""
        if isinstance(value, torch.Tensor):
            self._hold_tensor(value)
            return ()
        if isinstance(value, np.ndarray):
            self._hold_array(value)
            return ()
        if isinstance(value, (tuple, frozenset)):
            return value  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, FunctionType):
            return self._hold_function(value)
        if isinstance(value, MethodType):
            return value.__self__, value.__func__
        if isinstance(value, functools.partial):
            return value.func, value.args, value.keywords
        if isinstance(value, _LRU_CACHE):
            size = value.cache_info().currsize
            self._undo.append(lambda: value.cache_info().currsize == size or value.cache_clear())
            return (value.__wrapped__,)
        if isinstance(value, CellType):
            return self._hold_names(lambda: _contents(value), lambda new: _set_contents(value, new))
        if isinstance(value, type):
            return self._hold_class(value)
        inside = self._hold_container(value) if isinstance(value, _CONTAINERS) else ()
        return (*inside, *self._hold_object(value))

    def _hold_names(
        self, read: Callable[[], dict[str, Any]], write: Callable[[dict[str, Any]], object]
    ) -> Iterable[Any]:
        """Remember what names are bound to; `write` binds them again."""
        before = read()

        def undo() -> None:
            if not _is_same(before, now := read()):
                write({**dict.fromkeys(now, _MISSING), **before})

        self._undo.append(undo)
        return before.values()

    def _hold_container(self, value: Any) -> Iterable[Any]:
        before, fill = _copy(value)

        def undo() -> None:
            if not _is_same(before, value):
                fill(before)

        self._undo.append(undo)
        return (*before, *before.values()) if isinstance(before, dict) else before

    def _hold_global(self, value: Any) -> None:
        before, fill = _copy(value)

        def undo() -> None:
            new = value.values() if isinstance(before, dict) else value
            if len(new) > len(before) and any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(list(new))):
                fill(before)

        self._undo.append(undo)

    def _hold_object(self, value: Any) -> Iterable[Any]:
        own = isinstance(value, (torch.nn.Module, SimpleNamespace))
        if not own and _package(type(value)) in _FOREIGN:
            return
        yield from (one for one in type(value).__mro__ if _package(one) not in _FOREIGN)
        if hasattr(value, "__dict__"):
            yield vars(value)
        slots = [name for one in type(value).__mro__ for name in _texts(vars(one).get("__slots__", ()))]
        if slots:

            def read() -> dict[str, Any]:
                return {name: getattr(value, name) for name in slots if name[:2] != "__" and hasattr(value, name)}

            yield from self._hold_names(read, lambda new: _set_attributes(value, new))

    def _hold_class(self, value: type) -> Iterable[Any]:
        if _package(value) in _FOREIGN:
            return ()

        def read() -> dict[str, Any]:
            return {name: held for name, held in vars(value).items() if name[:2] != "__" or name == "__call__"}

        return self._hold_names(read, lambda new: _set_attributes(value, new))

    def _hold_function(self, value: FunctionType) -> Iterable[Any]:
        if value.__module__ and value.__module__.partition(".")[0] in _FOREIGN:
            return value.__closure__ or ()
        used = [one for name in value.__code__.co_names if (one := value.__globals__.get(name)) is not None]
        for one in used:
            if isinstance(one, _CONTAINERS):
                self._hold_global(one)
        called = [one for one in used if isinstance(one, (FunctionType, _LRU_CACHE))]
        return (*called, *(value.__closure__ or ()), value.__defaults__, value.__kwdefaults__, vars(value))

    def _hold_tensor(self, value: torch.Tensor) -> None:
        if type(value) is not torch.Tensor or value.layout != torch.strided or value.is_meta:
            return
        version, copy = version_of(value), value.detach().clone()

        def undo() -> None:
            with torch.no_grad():
                if value.shape != copy.shape:
                    value.data = copy
                # torch 2.13's batch normalisation writes running statistics without counting that as a change.
                elif version_of(value) != version or not torch.equal(value, copy):
                    value.copy_(copy)

        self._undo.append(undo)

    def _hold_array(self, value: np.ndarray[Any, Any]) -> None:
        if value.flags.writeable:
            copy = value.copy()
            self._undo.append(lambda: value.__setitem__(..., copy))


def _copy(value: Any) -> tuple[Any, Callable[[Any], object]]:
    """Return what a container holds, and what fills it with that again: a subclass may have overridden its methods."""
    kind: Any = next(kind for kind in _CONTAINERS if isinstance(value, kind))
    put: Any = kind.update if issubclass(kind, (dict, set)) else kind.extend

    def fill(before: Any) -> None:
        kind.clear(value)
        put(value, before)

    return dict(value.items()) if isinstance(value, dict) else list(value), fill


def _package(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]


def _is_same(before: Any, now: Any) -> bool:
    """Return whether two containers hold the same objects, dicts in the same order."""
    if len(before) != len(now):
        return False
    if isinstance(before, dict):
        before, now = [x for row in before.items() for x in row], [x for row in now.items() for x in row]
    return all(one is other for one, other in zip(before, now, strict=True))


def _texts(names: Any) -> Iterable[str]:
    return (names,) if isinstance(names, str) else names


def _contents(cell: CellType) -> dict[str, Any]:
    try:
        return {"": cell.cell_contents}
    except ValueError:  # nothing is bound yet
        return {}


def _set_contents(cell: CellType, new: dict[str, Any]) -> None:
    if new[""] is _MISSING:
        del cell.cell_contents
    else:
        cell.cell_contents = new[""]


def _set_attributes(value: Any, new: dict[str, Any]) -> None:
    for name, held in new.items():
        if held is _MISSING:
            delattr(value, name)
        elif getattr(value, name, _MISSING) is not held:
            (type.__setattr__ if isinstance(value, type) else object.__setattr__)(value, name, held)
