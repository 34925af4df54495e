"""Running libraries without their output."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Generator

from transformers.utils import logging as transformers_logging


@contextlib.contextmanager
def silenced(*names: str, level: int) -> Generator[None]:
    """Suppress warnings, and log lines of some loggers below a level, while the block runs."""
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in levels:
        logger.setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, before in levels.items():
            logger.setLevel(before)


@contextlib.contextmanager
def silence_loading() -> Generator[None]:
    """Suppress warnings, stdout, and log lines and progress bars of transformers and the hub client in the block."""
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    quiet = silenced("transformers", "huggingface_hub", level=logging.CRITICAL)
    try:
        with quiet, contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
