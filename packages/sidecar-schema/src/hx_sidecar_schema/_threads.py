"""What a process has once, changed for a while: threads may begin and end such blocks in any order."""

import sys
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ContextDecorator, ExitStack, contextmanager
from typing import Any, Literal

_lock = threading.RLock()


class Shared(ContextDecorator):
    """A context that all threads have: entered with the first block that asks for it, left with the last."""

    def __init__(self, make: Callable[[], AbstractContextManager[object]]) -> None:
        """Take what makes the context whenever it is entered."""
        self._make, self._blocks, self._held = make, 0, ExitStack()

    def __enter__(self) -> None:
        """Begin a block."""
        with _lock:
            if not self._blocks:
                self._held.enter_context(self._make())
            self._blocks += 1

    def __exit__(self, *_: object) -> None:
        """End it."""
        with _lock:
            self._blocks -= 1
            if not self._blocks:
                self._held.close()


@contextmanager
def _no_warnings() -> Generator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


ignore_warnings = Shared(_no_warnings)
"""Python's warnings are not shown in the block, of other threads neither: there is one list of filters."""


class _Stream:
    """A stream that is another one for some threads."""

    def __init__(self, original: Any) -> None:
        self.original = original
        self.targets: defaultdict[int, list[Any]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        return getattr([self.original, *self.targets.get(threading.get_ident(), ())][-1], name)


@contextmanager
def redirected(stream: Literal["stdout", "stderr"], target: Any) -> Generator[None]:
    """Let what this thread writes to a standard stream go to `target` while the block runs; other threads' goes on."""
    thread = threading.get_ident()
    with _lock:
        now = getattr(sys, stream)
        shared = now if isinstance(now, _Stream) else _Stream(now)
        setattr(sys, stream, shared)
        shared.targets[thread].append(target)
    try:
        yield
    finally:
        with _lock:
            shared.targets[thread].pop()
            if not shared.targets[thread]:
                del shared.targets[thread]
            if not shared.targets and getattr(sys, stream) is shared:
                setattr(sys, stream, shared.original)
