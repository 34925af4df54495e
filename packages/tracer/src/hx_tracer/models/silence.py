"""Loading models without output of the libraries that load them."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Generator

from transformers.utils import logging as transformers_logging


@contextlib.contextmanager
def silence_loading() -> Generator[None]:
    """Suppress warnings, stdout, and log lines and progress bars of transformers and the hub client in the block."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    hub.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        hub.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
