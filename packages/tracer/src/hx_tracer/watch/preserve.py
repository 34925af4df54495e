"""Looking at a model without leaving traces in it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def unchanged(model: torch.nn.Module) -> Generator[None]:
    """Give every module of a model back its attributes, buffers and tensors when the block ends; not its parameters.

    A forward may fill a cache: tables that it computes once, tensors kept for the next call. What one run leaves
    there would be a constant in the next trace; what a trace leaves there are tensors without numbers.

    Attributes are restored, with what dicts, lists and sets among them held; what is deeper inside is not.
    """
    modules = [(module.__dict__, dict(module.__dict__)) for module in model.modules()]
    contents = [(value, _copy(value)) for _, before in modules for value in before.values()]
    contents = [(value, copy) for value, copy in contents if copy is not None]
    held = [value for _, before in modules for value in before.values() if isinstance(value, torch.Tensor)]
    tensors = [
        (tensor, _version(tensor), tensor.detach().clone())
        for tensor in (*model.buffers(), *held)
        if not torch.nn.parameter.is_lazy(tensor)
    ]
    try:
        yield
    finally:
        for attributes, before in modules:
            attributes.clear()
            attributes.update(before)
        for value, copy in contents:
            value.clear()
            (value.extend if isinstance(value, list) else value.update)(copy)
        with torch.no_grad():
            for tensor, version, copy in tensors:
                # Batch normalisation of torch 2.13 writes its running statistics without counting that as a change.
                if _version(tensor) != version or not (tensor.is_meta or torch.equal(tensor, copy)):
                    tensor.copy_(copy)


def _version(tensor: torch.Tensor) -> int | None:
    """Return what counts the changes of a tensor; inference tensors have no such thing."""
    return None if tensor.is_inference() else tensor._version


def _copy(value: Any) -> Any:
    return value.copy() if type(value) in (dict, list, set) else None
