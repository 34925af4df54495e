"""Looking at a model without leaving traces in it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def unchanged(model: torch.nn.Module) -> Generator[None]:
    """Give every module of a model back its attributes and buffers when the block ends.

    A forward may fill a cache: tables that it computes once, tensors kept for the next call. What one run leaves
    there would be a constant in the next trace; what a trace leaves there are tensors without numbers.

    Attributes are restored, with what dicts, lists and sets among them held; what is deeper inside is not.
    """
    modules = [(module.__dict__, dict(module.__dict__)) for module in model.modules()]
    contents = [(value, _copy(value)) for _, before in modules for value in before.values()]
    contents = [(value, copy) for value, copy in contents if copy is not None]
    buffers = [(buffer, buffer._version, buffer.clone()) for buffer in model.buffers()]
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
            for buffer, version, copy in buffers:
                if buffer._version != version:
                    buffer.copy_(copy)


def _copy(value: Any) -> Any:
    return value.copy() if type(value) in (dict, list, set) else None
