"""Weights that a checkpoint's own files are the memory of."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hx_graph import stored_tensors
from hx_sidecar_schema import HxError
from hx_tracer.watch.file_weights import FileWeights
from hx_tracer.watch.patches import patched


@contextmanager
def watching_maps(found: list[FileWeights]) -> Generator[None]:
    """Note the files that storages are made of while the block runs: safetensors (0.7) hands out views of such storages."""

    def map_file(original: Any, filename: Any, *args: Any, **kwargs: Any) -> Any:
        storage = original(filename, *args, **kwargs)
        found.append(FileWeights(Path(filename), storage))
        return storage

    with patched(torch.UntypedStorage, "from_file", map_file):
        yield


def check_stored_dtype(folder: Path, config: Any) -> None:
    """Refuse a folder whose weights have another type than the model that is made of them: they would be converted.

    Raises:
        HxError: HX130 for such weights, HX219 if the folder has none.
    """
    wanted = getattr(config, "dtype", None) or getattr(config, "torch_dtype", None)
    stored = stored_tensors(folder)
    if wanted is None:  # transformers takes that of the first weight
        return
    name = str(wanted).removeprefix("torch.")
    for weight, tensor in stored.items():
        found = tensor.dtype.numpy().name
        if tensor.dtype.is_floating_point() and found != name:
            raise HxError(
                f"Weight {weight!r} in {tensor.path.name!r} is {found}, and the configuration says {name}: it cannot stay where it is.",
                code="HX130",
                hint=f"Take {found} to leave the weights as they are, or {name} to have those that are converted written beside the model.",
                argument="dtype",
            )
