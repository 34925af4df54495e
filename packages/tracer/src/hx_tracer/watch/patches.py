"""Replacing a function for one thread: other threads, and other exports in them, run the original.

The owner gets one dispatching function while any thread has a replacement; it looks the running thread's up. What one
model has as its own is replaced for all threads.
"""

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
    """The replacements by thread, the innermost last."""


_patches: dict[tuple[object, str], _Patch] = {}
_lock = threading.Lock()


@contextmanager
def patched(
    owner: object, name: str, handler: Function, *, outermost: Callable[[Function], Function] | None = None
) -> Generator[None]:
    """Run `handler(original, *args, **kwargs)` for calls of `owner.name` in this thread.

    When the last block has ended, in whatever order, the owner, a class or a module, has the original function object
    again. `outermost` wraps the dispatching function that the owner gets; that of the first block counts.
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


@contextmanager
def own_attribute(owner: object, name: str, value: object) -> Generator[None]:
    """Let an object have an attribute in its `__dict__` while the block runs, for all threads."""
    attributes = vars(owner)
    before = {name: attributes[name]} if name in attributes else {}
    attributes[name] = value
    try:
        yield
    finally:
        attributes.pop(name, None)
        attributes.update(before)
