"""Where a model makes Python values of tensors while TorchScript traces it, which keeps those of one run.

torch warns of each; a warning is shown by the thread that has it, but which ones are shown is the same for all threads.
"""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch

from hx_sidecar_schema import Shared
from hx_tracer.watch.patches import patched

_TORCH = Path(torch.__file__).parent


@contextmanager
def _shown() -> Generator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("always", "Converting a tensor to ")
        yield


_all_shown = Shared(_shown)


@contextmanager
def watching_decisions() -> Generator[list[str]]:
    """Collect the places in the block, in this thread, as `FILE:LINE`, each once; those in torch itself aside."""
    places: list[str] = []

    def take(_: object, message: Warning, category: type[Warning], filename: str, lineno: int, *more: object) -> None:
        place = f"{Path(filename).name}:{lineno}"
        if place not in places and not Path(filename).is_relative_to(_TORCH):
            places.append(place)

    with _all_shown, patched(warnings, "showwarning", take):
        yield places
