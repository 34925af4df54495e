"""What the user typed, for the record of what made a file."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar

command_line: ContextVar[Sequence[str]] = ContextVar("hx.command_line", default=())
"""The words of the command that runs, for programs in front of this library; empty where the library was called."""
