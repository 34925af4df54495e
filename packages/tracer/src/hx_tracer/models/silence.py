"""Running libraries without their output."""

import contextlib
import io
import logging
import warnings
from collections.abc import Generator

from transformers.utils import logging as transformers_logging


@contextlib.contextmanager
def silenced(*names: str, level: int) -> Generator[None]:
    """Suppress warnings, and log lines of some loggers below a level, while the block runs."""
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in map(logging.getLogger, names):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(level)
        yield


@contextlib.contextmanager
def silence_loading() -> Generator[None]:
    """Suppress warnings, stdout, and log lines and progress bars of transformers and the hub client in the block."""
    quiet = silenced("transformers", "huggingface_hub", level=logging.CRITICAL)
    with contextlib.ExitStack() as stack, quiet, contextlib.redirect_stdout(io.StringIO()):
        if transformers_logging.is_progress_bar_enabled():
            stack.callback(transformers_logging.enable_progress_bar)
            transformers_logging.disable_progress_bar()
        yield
