"""What all threads share is as it was once the last block has ended, whichever began first."""

from __future__ import annotations

import io
import sys
import threading
import warnings
from contextlib import AbstractContextManager, contextmanager

import pytest

from hx_sidecar_schema import Shared, ignore_warnings, redirected

PATIENCE_S = 30


def overlapping(first: AbstractContextManager[object], second: AbstractContextManager[object]) -> None:
    """Let a thread begin a block in that of another, which ends before it."""
    inside, ended = threading.Event(), threading.Event()

    def outlive() -> None:
        with second:
            inside.set()
            assert ended.wait(PATIENCE_S)

    thread = threading.Thread(target=outlive)
    with first:
        thread.start()
        assert inside.wait(PATIENCE_S)
    ended.set()
    thread.join()


def test_a_shared_context_is_entered_once_and_left_at_the_end() -> None:
    seen: list[str] = []

    @contextmanager
    def context():
        seen.append("in")
        yield
        seen.append("out")

    shared = Shared(context)
    overlapping(shared, shared)
    overlapping(shared, shared)
    assert seen == ["in", "out"] * 2


def test_warnings_are_shown_again() -> None:
    overlapping(ignore_warnings, ignore_warnings)
    with pytest.warns(UserWarning, match="shown"):
        warnings.warn("shown", stacklevel=1)


def test_a_stream_is_the_original_again() -> None:
    before = sys.stdout
    overlapping(redirected("stdout", io.StringIO()), redirected("stdout", io.StringIO()))
    assert sys.stdout is before


def test_what_another_thread_prints_goes_where_it_went(capsys: pytest.CaptureFixture[str]) -> None:
    caught, inner = io.StringIO(), io.StringIO()
    with redirected("stdout", caught):
        sys.stdout.write("mine\n")
        thread = threading.Thread(target=lambda: sys.stdout.write("another's"))
        thread.start()
        thread.join()
        with redirected("stdout", inner):
            sys.stdout.write("inner\n")
        sys.stdout.write("mine again\n")
    assert (caught.getvalue(), inner.getvalue()) == ("mine\nmine again\n", "inner\n")
    assert capsys.readouterr().out == "another's"
