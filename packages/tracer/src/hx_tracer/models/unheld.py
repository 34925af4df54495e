"""Models whose weights nobody holds: built without them, which are then views of a sparse file.

Only parameters are left out. All else that a model computes while it is built is computed, such as the frequencies of
rotary embeddings.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from hx_graph import is_small
from hx_sidecar_schema import HxError, first_line
from hx_tracer.watch.file_weights import FileWeights
from hx_tracer.watch.patches import patched
from hx_tracer.watch.unread import leave_unread

HELD_BYTES = 4 << 30
"""Random weights of up to this size are made and held in memory; where there are more, they are zeros in a sparse file."""
_RESERVED_BYTES = 1 << 30
"""What a constructor makes that is larger is taken for a parameter: Linux reserves no more memory at once than there is."""
_CONSTRUCTORS: set[Any] = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
_PAGE = 4096
_SPREAD = 0.1

_logger = logging.getLogger(__name__)
Built = TypeVar("Built")


def built_unheld(build: Callable[[], Built], module_of: Callable[[Built], Any]) -> Built | None:
    """Build a model with all parameters on the meta device; None if they are no more than `HELD_BYTES`.

    None too for a model that reads its parameters while it is built, if it is not known to be larger. The random numbers of
    torch are then as they were.

    Raises:
        HxError: HX101 for a larger one that reads its parameters while it is built.
    """

    def size_bytes(built: Built) -> int:
        return sum(parameter.nbytes for parameter in module_of(built).parameters())

    state = torch.get_rng_state()
    try:
        with parameters_on_meta():
            built = build()
        if size_bytes(built) > HELD_BYTES:
            return built
    except Exception as error:
        reason = first_line(error, with_type=True)
        _logger.debug("Not built without parameters: %s", reason)
        size = 0
        with suppress(Exception), torch.device("meta"):  # all of it, which works for others
            size = size_bytes(build())
        if size > HELD_BYTES:
            raise HxError(
                f"The model reads its weights of {size / 1e9:.1f} GB while it is built: {reason}",
                code="HX101",
                hint="Take a configuration with fewer or smaller layers.",
            ) from error
    torch.set_rng_state(state)
    return None


@contextmanager
def parameters_on_meta() -> Generator[None]:
    """Put every parameter on the meta device when a module gets it, as the object that it is: others may hold it too."""

    def register(original: Any, module: torch.nn.Module, name: str, parameter: Any) -> None:
        if type(parameter) is torch.nn.Parameter and not parameter.is_meta:
            _replace(parameter, torch.empty_like(parameter, device="meta"))
        original(module, name, parameter)

    with patched(torch.nn.Module, "register_parameter", register), _LargeOnMeta():
        yield


class _LargeOnMeta(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _CONSTRUCTORS and kwargs.get("device") is None and "out" not in kwargs:
            made = func(*args, **{**kwargs, "device": "meta"})
            if made.nbytes > _RESERVED_BYTES:
                return made
        return func(*args, **kwargs)


def _replace(tensor: torch.Tensor, values: torch.Tensor) -> None:
    """Let a parameter or buffer have other values, on another device too, and stay the object that it is."""
    with torch.no_grad():
        new = torch.nn.Parameter(values, tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else values
        vars(new).update(vars(tensor))
        torch.utils.swap_tensors(tensor, new)


def fill_from_sparse_file(module: torch.nn.Module, seed: int) -> FileWeights:
    """Let what a module has on the meta device be views of one sparse file, which takes no space on the disk.

    Floats that are small (`is_small`) are random, all others zeros that nobody wrote: exporters look at the small ones,
    of which equal ones become one, and zeros and ones nothing. No run reads the others: `leave_unread`.

    Raises:
        HxError: HX306 if no such file can be made.
    """
    tensors = {id(one): one for one in chain(module.parameters(), module.buffers()) if one.is_meta}
    places: dict[int, int] = {}
    end = 0
    for key, tensor in tensors.items():
        places[key] = end
        end += -(-tensor.nbytes // _PAGE) * _PAGE
    path = Path(tempfile.mkdtemp(prefix="hx-weights-")) / "weights"
    try:
        with path.open("wb") as file:
            file.truncate(end)
        weights = FileWeights.map(path, shared=True)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise HxError(
            f"A sparse file of {end} bytes cannot be made in {tempfile.gettempdir()!r}: {first_line(error)}",
            code="HX306",
            hint="Let TMPDIR name a folder on a file system with files of that size, such as ext4 or xfs.",
        ) from error
    weakref.finalize(weights, shutil.rmtree, path.parent, ignore_errors=True)
    noise = torch.Generator().manual_seed(seed)
    for key, tensor in tensors.items():
        values = weights.view(places[key], tensor.dtype, tensor.shape)
        if tensor.is_floating_point() and is_small(tensor.shape):
            values.copy_(torch.randn(tensor.shape, generator=noise) * _SPREAD)
        _replace(tensor, values)
    leave_unread(module, weights)
    return weights
