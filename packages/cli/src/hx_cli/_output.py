"""Where a command writes: data on stdout, everything else on stderr, progress only on a terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import hx

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console, RenderableType

PIPE_WIDTH = 200
"""Columns where stdout is no terminal and COLUMNS is not set: lines are for programs, and are not cut."""

LOGGERS = (
    "hx",
    "hx_extractor",
    "hx_fleet",
    "hx_graph",
    "hx_profiler",
    "hx_projector",
    "hx_sidecar_schema",
    "hx_surgery",
    "hx_tracer",
    "hx_viewer",
)


class _Stderr(logging.Handler):
    """Writes to stderr as it is when something is logged: it may have been redirected since."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


class Output:
    """The streams of one run, and how much it says."""

    verbosity = 0
    """-1 quiet, 0 normal, 1 with details, 2 with debug logging."""
    as_json = False
    """Whether stdout is for one JSON record, and for no tables."""

    def adjust(self, *, verbose: int, quiet: bool) -> None:
        """Take flags: those before the command's name first, then those after it."""
        self.verbosity = -1 if quiet else max(self.verbosity, verbose) if self.verbosity >= 0 else -1
        level = {1: logging.INFO, 2: logging.DEBUG}.get(min(self.verbosity, 2))
        handler = logging.NullHandler() if level is None else _Stderr()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(level or logging.NOTSET)
            logger.handlers = [handler]

    @cached_property
    def stdout(self) -> Console:
        """The console for data."""
        return _console(stderr=False)

    @cached_property
    def stderr(self) -> Console:
        """The console for everything else."""
        return _console(stderr=True)

    def data(self, *parts: RenderableType, asked: bool = False) -> None:
        """Print tables and trees for a person; what the command is for (`asked`), and no summary, with -q too."""
        if self.verbosity >= 0 or asked:
            for part in parts:
                self.stdout.print(part, highlight=False)

    @property
    def ascii_only(self) -> bool:
        """Whether stdout cannot show the lines that trees are drawn with."""
        return not self.stdout.encoding.lower().startswith("utf")

    def report(self, record: BaseModel, show: Callable[..., None], **how: Any) -> None:
        """Print what a command found: with `--json` the record, else what `show(record, self, **how)` draws of it."""
        if self.as_json:
            self.json(record)
        else:
            show(record, self, **how)

    def json(self, record: BaseModel) -> None:
        """Print one record."""
        sys.stdout.write(record.model_dump_json(indent=2) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Say something on stderr; rich markup."""
        if self.verbosity >= 0:
            self.stderr.print(text, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Say on stderr that something is not as it should be; plain text."""
        if self.verbosity >= 0:
            from rich.text import Text

            self.stderr.print(Text("warning: ", "yellow").append(text, "default"), soft_wrap=True)

    @contextmanager
    def progress(self) -> Generator[hx.Progress]:
        """Yield what shows that something is going on: a line with a spinner and a bar, where a person looks."""
        if self.verbosity < 0 or not self.stderr.is_terminal:
            yield lambda text, done, total: None
            return
        from rich import progress

        columns = (
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns[:2], console=self.stderr, transient=True) as spinner:
            task = spinner.add_task("", total=None)

            def show(text: str, done: int, total: int) -> None:
                spinner.columns = columns if total else columns[:2]
                spinner.update(task, description=text, completed=done, total=total or None)

            yield show


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout  # as it is now: it is redirected while others print
    wide = not stream.isatty() and not os.environ.get("COLUMNS")
    return Console(file=stream, width=PIPE_WIDTH if wide else None)
