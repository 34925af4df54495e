"""Functions that are replaced for one thread, and are what they were afterwards."""

from __future__ import annotations

import itertools
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from hx_tracer.watch.patches import patched

PATIENCE_S = 30


class Owner:
    def call(self, value: str) -> str:
        return value


ORIGINAL = Owner.__dict__["call"]


def wrapping(name: str) -> Callable[..., str]:
    """A handler that writes its name around what the original returns."""

    def handler(original: Callable[..., str], *args: Any, **kwargs: Any) -> str:
        return f"{name}({original(*args, **kwargs)})"

    return handler


def at_once(*works: Callable[[], None]) -> None:
    """Run functions in threads of their own; what they raise is raised."""
    errors: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    for error in errors:
        raise error


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_blocks_may_end_in_any_order(order: tuple[int, ...]) -> None:
    """The last of the blocks that have not ended yet is heard."""
    names = ["a", "b", "c"]
    blocks: list[AbstractContextManager[None]] = [patched(Owner, "call", wrapping(name)) for name in names]
    for name, block in zip(names, blocks, strict=True):
        block.__enter__()
        assert Owner().call("x") == f"{name}(x)"
    running = list(names)
    for index in order:
        blocks[index].__exit__(None, None, None)
        running.remove(names[index])
        assert Owner().call("x") == (f"{running[-1]}(x)" if running else "x")
        assert (Owner.__dict__["call"] is ORIGINAL) == (not running)


def test_one_handler_may_run_in_two_blocks() -> None:
    handler = wrapping("a")
    with patched(Owner, "call", handler):
        with patched(Owner, "call", handler):
            assert Owner().call("x") == "a(x)"
        assert Owner().call("x") == "a(x)"
    assert Owner.__dict__["call"] is ORIGINAL


def test_functions_of_a_module_and_of_several_names() -> None:
    module: Any = types.ModuleType("module")
    module.one, module.two = lambda: "one", lambda: "two"
    one, two = module.one, module.two
    with patched(module, "one", wrapping("a")), patched(module, "two", wrapping("b")):
        assert (module.one(), module.two()) == ("a(one)", "b(two)")
    assert (module.one, module.two) == (one, two)


def test_a_handler_gets_the_original_and_all_arguments() -> None:
    given: list[Any] = []

    def handler(original: Any, owner: Owner, *args: Any, **kwargs: Any) -> str:
        given.append((original, args, kwargs))
        return original(owner, *args, **kwargs)

    with patched(Owner, "call", handler):
        assert Owner().call(value="x") == "x"
        assert Owner().call("y") == "y"
    assert given == [(ORIGINAL, (), {"value": "x"}), (ORIGINAL, ("y",), {})]


def test_a_block_or_a_handler_that_raises_restores_the_original() -> None:
    def failing(*_: Any) -> str:
        raise ZeroDivisionError

    with pytest.raises(KeyError), patched(Owner, "call", wrapping("a")):
        raise KeyError
    assert Owner.__dict__["call"] is ORIGINAL
    with patched(Owner, "call", wrapping("a")):
        with pytest.raises(ZeroDivisionError), patched(Owner, "call", failing):
            Owner().call("x")
        assert Owner().call("x") == "a(x)"
    assert Owner.__dict__["call"] is ORIGINAL


def test_a_handler_of_the_outermost_layer_is_asked_for_once() -> None:
    made: list[Any] = []

    def outermost(dispatch: Any) -> Any:
        made.append(dispatch)
        return lambda *args: f"<{dispatch(*args)}>"

    with (
        patched(Owner, "call", wrapping("a"), outermost=outermost),
        patched(Owner, "call", wrapping("b"), outermost=outermost),
    ):
        assert Owner().call("x") == "<b(x)>"
    assert len(made) == 1
    assert Owner.__dict__["call"] is ORIGINAL


def test_other_threads_see_the_original() -> None:
    seen: list[str] = []
    with patched(Owner, "call", wrapping("a")):
        at_once(lambda: seen.append(Owner().call("x")))
        assert Owner().call("x") == "a(x)"
    assert seen == ["x"]


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_handlers_of_two_threads_do_not_mix(first_to_end: int) -> None:
    together, one_ended = threading.Barrier(2), threading.Event()
    seen: list[set[str]] = [set(), set()]
    after: list[str] = ["", ""]

    def work(index: int) -> None:
        with patched(Owner, "call", wrapping(str(index))):
            for _ in range(100):
                together.wait(PATIENCE_S)
                seen[index].add(Owner().call("x"))
            if index != first_to_end:
                assert one_ended.wait(PATIENCE_S)
                seen[index].add(Owner().call("x"))
        after[index] = Owner().call("x")
        if index == first_to_end:
            one_ended.set()

    at_once(lambda: work(0), lambda: work(1))
    assert seen == [{"0(x)"}, {"1(x)"}]
    assert after == ["x", "x"]
    assert Owner.__dict__["call"] is ORIGINAL


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_threads_that_come_and_go_leave_the_original() -> None:
    """Blocks begin and end while others do, without a word between the threads."""

    def work() -> None:
        for _ in range(2000):
            with patched(Owner, "call", wrapping("a")):
                assert Owner().call("x") == "a(x)"
            assert Owner().call("x") == "x"

    at_once(*[work] * 4)
    assert Owner.__dict__["call"] is ORIGINAL
