"""What happens during a session, noted as it happens: steps with their times, errors, what is logged and printed."""

import io
import logging
import time
import traceback
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from hx._progress import Progress, captured
from hx._redacted import Redactor
from hx.records.debug import ErrorEntry, StepEntry
from hx_sidecar_schema import HxError

LEVELS = {
    **dict.fromkeys(("hx_sidecar_schema", "hx_tracer", "hx_projector", "hx_extractor", "hx"), logging.DEBUG),
    **dict.fromkeys(("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "transformers"), logging.INFO),
}


class Failed(Exception):
    """A step did not succeed, and is noted; what needs it is left out."""


@dataclass
class Journal:
    """The notes of a session; what errors say goes through `redact`."""

    progress: Progress
    redact: Redactor
    steps: list[StepEntry] = field(default_factory=list[StepEntry])
    log: io.StringIO = field(default_factory=io.StringIO)
    """What was logged and printed."""

    @contextmanager
    def step(self, name: str, text: str) -> Generator[None]:
        """Note a step; whatever goes wrong in it is noted too, and is `Failed` to the caller."""
        self.log.write(f"== {name}\n")
        start = time.perf_counter()
        error: BaseException | None = None
        try:
            self.progress(text, 0, 0)
            yield
        except Failed as failed:  # an attempt inside it, which is noted there
            error = failed.__cause__ or failed
            raise
        except Exception as caught:  # the session is there to tell of it, whatever it is
            error = caught
            raise Failed(name) from caught
        finally:
            seconds = round(time.perf_counter() - start, 3)
            status, entry = ("done", None) if error is None else ("failed", self.entry(error))
            self.steps.append(StepEntry(name=name, status=status, seconds=seconds, error=entry))
            self.log.write(f"== {name}: {status}, {seconds} s\n")

    def entry(self, error: BaseException) -> ErrorEntry:
        """Return an error as a record; where one of hx has a cause, with the cause's traceback."""
        known = isinstance(error, HxError)
        origin = error.__cause__ if known and error.__cause__ is not None else error
        return ErrorEntry(
            type=f"{type(error).__module__}.{type(error).__qualname__}",
            code=error.code if known else "",
            message=self.redact(error.message if known else str(error)),
            hint=self.redact(error.hint) if known else "",
            traceback=self.redact("".join(traceback.format_exception(origin))),
        )

    @contextmanager
    def listening(self) -> Generator[None]:
        """Take into the log what hx, the exporter and Python's warnings say, and what is printed meanwhile."""
        handler = logging.StreamHandler(self.log)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        with ExitStack() as undo, warnings.catch_warnings():
            for logger in map(logging.getLogger, LEVELS):
                undo.callback(logger.removeHandler, handler)
                undo.callback(logger.setLevel, logger.level)
                undo.callback(setattr, logger, "propagate", logger.propagate)
                logger.setLevel(LEVELS[logger.name])
                logger.addHandler(handler)
                logger.propagate = False  # what is wanted for the log is not wanted on the screen
            warnings.simplefilter("always")
            warnings.showwarning = self._warned
            with captured() as printed:
                try:
                    yield
                finally:
                    if printed.getvalue().strip():
                        self.log.write(f"-- printed\n{printed.getvalue().rstrip()}\n--\n")

    def _warned(self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
        self.log.write(f"{category.__name__} {filename}:{lineno}: {message}\n")
