"""Loading without progress bars, log lines and warnings of the libraries that load."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Generator

from transformers.utils import logging as transformers_logging


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Silence transformers, the hub client and Python warnings inside the block, then restore what was set."""
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
