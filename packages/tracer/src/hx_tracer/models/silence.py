"""Running libraries without their output: what they print in this thread, and what all threads log and warn meanwhile."""

import io
import logging
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from hx_sidecar_schema import Shared, ignore_warnings, redirected


@contextmanager
def _no_lines(*names: str, level: int) -> Generator[None]:
    """Suppress log lines of some loggers below a level."""
    with ExitStack() as stack:
        for logger in map(logging.getLogger, names):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(level)
        yield


@contextmanager
def _no_loading() -> Generator[None]:
    from transformers.utils import logging as transformers_logging

    with ExitStack() as stack, _no_lines("transformers", "huggingface_hub", level=logging.CRITICAL):
        if transformers_logging.is_progress_bar_enabled():
            stack.callback(transformers_logging.enable_progress_bar)
            transformers_logging.disable_progress_bar()
        yield


_exporter = Shared(lambda: _no_lines("torch", "onnxscript", "onnx_ir", level=logging.CRITICAL))
_loading = Shared(_no_loading)


@contextmanager
def silence_exporter() -> Generator[None]:
    """Suppress warnings, and log lines of the exporters, while the block runs: what fails is raised too."""
    with ignore_warnings, _exporter:
        yield


@contextmanager
def silence_loading() -> Generator[None]:
    """Suppress warnings, stdout, and log lines and progress bars of transformers and the hub client in the block."""
    with ignore_warnings, _loading, redirected("stdout", io.StringIO()):
        yield
