"""Running a model without leaving anything behind in it."""

import functools
import gc
import operator
import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, MutableMapping, MutableSet
from contextlib import contextmanager, suppress
from itertools import chain
from types import CellType, FunctionType, MemberDescriptorType, MethodType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

from hx_tracer._torch_internals import pytree, version_of

_CONTAINERS: tuple[Any, ...] = (OrderedDict, dict, list, set, deque, bytearray)
_FOREIGN = sys.stdlib_module_names | {"torch", "numpy"}
"""Packages whose objects and classes are no state of a model, containers and modules excepted."""
_LRU_CACHE: Any = type(functools.cache(len))
_MISSING = object()


class _Global(NamedTuple):
    """What a function of the model names, and that is no part of it."""

    value: Any


Undo = list[Callable[[], object]]
"""What puts back what has changed."""


@contextmanager
def preserve_state(model: torch.nn.Module) -> Generator[None]:
    """Put back on exit what a run may change in a model; parameters keep the numbers that they have then.

    A forward may fill a cache, count its calls, register hooks, or swap its own parts. What one run leaves would be
    found by the next; what a trace leaves are tensors without data.

    Restored is all that can be reached from the modules through attributes, containers, classes, and closures and
    defaults of functions: which entries and attributes there are, and the data of tensors and arrays among them. Of what
    is global, in names that functions read and in what these name, only tensors are taken out again, and `lru_cache`s
    emptied: more may say what was registered elsewhere.
    What cannot be looked into is not restored, such as iterators, nor objects of Python's own library.
    """
    undo: Undo = []
    seen: dict[tuple[int, bool], Any] = {}
    waiting: list[Any] = [model]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (str, bytes, int, float, type(None))):
            continue
        is_global = type(one) is _Global
        one = one.value if is_global else one
        if (id(one), is_global) not in seen:
            seen[id(one), is_global] = one  # kept, so that no other object gets its id
            waiting += _hold_global(one, undo) if is_global else _hold(one, undo)
    try:
        yield
    finally:
        for put_back in undo:
            put_back()


def _hold(value: Any, undo: Undo) -> Iterable[Any]:
    """Remember one value, and yield what it refers to."""
    if isinstance(value, torch.Tensor):
        if type(value) is torch.Tensor and value.layout == torch.strided and not value.is_meta:
            undo.append(_tensor_holder(value))
    elif isinstance(value, np.ndarray):
        if value.flags.writeable:
            copy = value.copy()
            undo.append(lambda: value.__setitem__(..., copy))
    elif isinstance(value, (random.Random, np.random.RandomState, torch.Generator)):
        names = ("getstate", "setstate") if isinstance(value, random.Random) else ("get_state", "set_state")
        state = getattr(value, names[0])()
        undo.append(lambda: getattr(value, names[1])(state))
    elif isinstance(value, np.random.Generator):
        bits, drawn = value.bit_generator, value.bit_generator.state
        undo.append(lambda: setattr(bits, "state", drawn))
    elif isinstance(value, (tuple, frozenset, MethodType, functools.partial)):
        yield from gc.get_referents(value)
    elif isinstance(value, FunctionType):
        yield from value.__closure__ or ()
        if not _is_foreign(value):
            named = map(value.__globals__.get, value.__code__.co_names)
            yield from map(_Global, (value.__globals__, *named))
            yield from (value.__defaults__, value.__kwdefaults__, vars(value))
    elif isinstance(value, _LRU_CACHE):
        size = value.cache_info().currsize
        undo.append(lambda: value.cache_info().currsize == size or value.cache_clear())
        yield value.__wrapped__
    elif isinstance(value, CellType):
        yield from _hold_names(value, undo, lambda: _bound(value, ["cell_contents"]))
    elif isinstance(value, type):
        if _is_state_holder(value):
            yield from _hold_names(value, undo, lambda: {n: v for n, v in vars(value).items() if _is_state(n)})
    else:
        if isinstance(value, _CONTAINERS):
            yield from _hold_container(value, undo)
        if type(value) not in _CONTAINERS and _is_state_holder(value):
            yield from type(value).__mro__
            if hasattr(value, "__dict__"):
                yield vars(value)
            members = [row for kind in type(value).__mro__ for row in vars(kind).items() if _is_state(row[0])]
            slots = [name for name, member in members if isinstance(member, MemberDescriptorType)]
            yield from _hold_names(value, undo, lambda: _bound(value, slots))


def _hold_global(value: Any, undo: Undo) -> Iterable[Any]:
    """Remember where what is global holds no tensor, and yield what it refers to: functions are as those of the model."""
    if isinstance(value, (FunctionType, _LRU_CACHE)):
        yield value
    elif isinstance(value, dict):
        _hold_entries(value, undo, _container_type(value).__setitem__, _container_type(value).__delitem__)
    elif isinstance(value, _CONTAINERS):
        _hold_container(value, undo, is_global=True)
    elif hasattr(value, "__dict__") and _is_state_holder(value):
        if isinstance(value, type):
            _hold_entries(value, undo, type.__setattr__, type.__delattr__)
        else:
            yield _Global(vars(value))
        yield from (_Global(one) for one in vars(value).values() if isinstance(one, _CONTAINERS))


def _hold_entries(value: Any, undo: Undo, put: Callable[..., None], drop: Callable[..., None]) -> None:
    """Remember what the names of a class, or the keys of a dict, stood for; put back where that is a tensor then."""

    def read() -> list[tuple[Any, Any]]:
        return [*(_container_type(value).items(value) if isinstance(value, dict) else vars(value).items())]

    before = dict(read())

    def put_back() -> None:
        for name, now in read():
            held = before.get(name, _MISSING)
            if now is not held and any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(now)):
                drop(value, name) if held is _MISSING else put(value, name, held)

    undo.append(put_back)


def _container_type(value: Any) -> Any:
    if type(value) in _CONTAINERS:
        return type(value)
    return next(kind for kind in _CONTAINERS if isinstance(value, kind))  # whose methods a subclass may override


def _is_state_holder(value: Any) -> bool:
    """Return whether attributes of an object, a class or a file may be state of a model."""
    if isinstance(value, (torch.nn.Module, SimpleNamespace, MutableMapping, MutableSet)):  # `weakref` has some
        return True
    return not _is_foreign(value if isinstance(value, (type, ModuleType)) else type(value))


def _is_foreign(defined: Any) -> bool:
    name = defined.__name__ if isinstance(defined, ModuleType) else str(defined.__module__)
    return name.partition(".")[0] in _FOREIGN


def _is_state(name: str) -> bool:
    return name[:2] != "__" or name == "__call__"


def _bound(value: Any, names: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        with suppress(AttributeError, ValueError):  # nothing is bound yet
            found[name] = getattr(value, name)
    return found


def _hold_names(value: Any, undo: Undo, read: Callable[[], dict[str, Any]]) -> Iterable[Any]:
    """Remember what the names of an object are bound to, as `read` returns it."""
    before = read()

    def put_back() -> None:
        now = read()
        for name in now.keys() - before.keys():
            delattr(value, name)
        for name, held in before.items():
            if now.get(name, _MISSING) is not held:
                (type if isinstance(value, type) else object).__setattr__(value, name, held)

    undo.append(put_back)
    return before.values()


def _hold_container(value: Any, undo: Undo, *, is_global: bool = False) -> Iterable[Any]:
    """Remember what a container holds; a global one, which is no dict, is put back only where tensors were added."""
    kind = _container_type(value)
    before = _entries(value)

    def put_back() -> None:
        now = _entries(value)
        if is_global:
            added = len(now) > len(before)
            changed = added and any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(now))
        else:
            changed = len(now) != len(before) or not all(map(operator.is_, now, before))
        if changed:
            kind.clear(value)
            put = kind.update if issubclass(kind, (dict, set)) else kind.extend
            put(value, zip(before[::2], before[1::2], strict=True) if isinstance(value, dict) else before)

    undo.append(put_back)
    return before


def _entries(container: Any) -> list[Any]:
    """Return what a container holds, of a dict its keys and values in turn.

    A subclass may load what it does not hold when it is asked, as transformers' mappings of classes do.
    """
    kind = _container_type(container)
    return list(chain.from_iterable(kind.items(container)) if issubclass(kind, dict) else kind.__iter__(container))


def _tensor_holder(value: torch.Tensor) -> Callable[[], None]:
    version, copy = version_of(value), value.detach().clone()

    def put_back() -> None:
        with torch.no_grad():
            if value.shape != copy.shape:
                value.data = copy
            # torch 2.13's batch normalisation writes running statistics without counting that as a change.
            elif version_of(value) != version or not torch.equal(value, copy):
                value.copy_(copy)

    return put_back
