"""Replacing a function for one thread: other threads, and other exports in them, see the original."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Function = Callable[..., Any]


@dataclass
class _Patch:
    original: Function
    handlers: dict[int, list[Function]] = field(default_factory=dict[int, list[Function]])
    """The running replacements of each thread, the innermost last."""


_patches: dict[tuple[object, str], _Patch] = {}
_lock = threading.Lock()


@contextmanager
def replaced(
    owner: object, name: str, handler: Function, *, outermost: Callable[[Function], Function] | None = None
) -> Generator[None]:
    """Let calls of `owner.name` in this thread go through `handler(original, *args, **kwargs)`.

    What the owner has is the very same object again when the last block has ended, in whatever order.

    Args:
        owner: A class or a module.
        name: Of one of its functions.
        handler: The replacement.
        outermost: Makes what the owner gets of what looks the thread's handler up.
    """
    thread = threading.get_ident()
    with _lock:
        patch = _patches.get((owner, name))
        if patch is None:
            patch = _patches[owner, name] = _Patch(getattr(owner, name))
            dispatch = _dispatch(patch)
            setattr(owner, name, outermost(dispatch) if outermost else dispatch)
        patch.handlers.setdefault(thread, []).append(handler)
    try:
        yield
    finally:
        with _lock:
            patch.handlers[thread].remove(handler)
            if not patch.handlers[thread]:
                del patch.handlers[thread]
            if not patch.handlers:
                setattr(owner, name, patch.original)
                del _patches[owner, name]


def _dispatch(patch: _Patch) -> Function:
    def dispatch(*args: Any, **kwargs: Any) -> Any:
        handlers = patch.handlers.get(threading.get_ident())
        if not handlers:
            return patch.original(*args, **kwargs)
        return handlers[-1](patch.original, *args, **kwargs)

    return dispatch
