"""Where a command writes: data on stdout, everything else on stderr, progress only on a terminal."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import typer
    from pydantic import BaseModel
    from rich.console import Console, RenderableType

PIPE_WIDTH = 200
"""Columns where stdout is no terminal and COLUMNS is not set: lines are for programs, and are not cut."""

Item = TypeVar("Item")


class Output:
    """The streams of one run, and how much it says.

    Attributes:
        verbosity: -1 quiet, 0 normal, 1 with details, 2 with debug logging.
        argv: The arguments of the run, for the record of what made a file.
    """

    def __init__(self, argv: Iterable[str] = (), verbosity: int = 0) -> None:
        self.argv = list(argv)
        self.verbosity = verbosity

    def adjust(self, *, verbose: int, quiet: bool) -> None:
        """Take the flags that stand after the command's name too."""
        self.verbosity = -1 if quiet else max(self.verbosity, verbose) if self.verbosity >= 0 else -1
        level = {1: logging.INFO, 2: logging.DEBUG}.get(min(self.verbosity, 2))
        if level is not None:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
            for name in (
                "hx_sidecar_schema",
                "hx_tracer",
                "hx_projector",
                "hx_extractor",
                "hx_profiler",
                "hx_cli",
            ):
                logger = logging.getLogger(name)
                logger.setLevel(level)
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
        """Print tables and trees for a person.

        Args:
            parts: What to print.
            asked: It is what the command is for, and no summary: printed with -q too.
        """
        if self.verbosity >= 0 or asked:
            for part in parts:
                self.stdout.print(part, highlight=False)

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
    def working(self, text: str) -> Generator[None]:
        """Show that something is going on, where a person looks."""
        if self.verbosity < 0 or not self.stderr.is_terminal:
            yield
            return
        with self.stderr.status(text):
            yield

    @contextmanager
    def foreign(self) -> Generator[io.StringIO]:
        """Catch what other people's code prints, which is no data of ours; shown with -v."""
        caught = io.StringIO()
        with redirect_stdout(caught), redirect_stderr(caught):
            yield caught
        if self.verbosity > 0 and caught.getvalue():
            self.stderr.print(caught.getvalue().rstrip(), highlight=False, markup=False, soft_wrap=True)

    def each(self, items: list[Item], text: str) -> Iterator[Item]:
        """Yield items under a progress bar, where a person looks."""
        if self.verbosity < 0 or not self.stderr.is_terminal:
            yield from items
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.stderr, transient=True) as progress:
            yield from progress.track(items, description=text)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout  # as it is now: `foreign` redirects it while others print
    wide = not stream.isatty() and not os.environ.get("COLUMNS")
    return Console(file=stream, width=PIPE_WIDTH if wide else None)


def output_of(context: typer.Context, verbose: int, quiet: bool) -> Output:
    """Return the output of a run, with the flags of its command."""
    output: Output = context.obj
    output.adjust(verbose=verbose, quiet=quiet)
    return output
