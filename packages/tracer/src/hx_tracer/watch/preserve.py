"""Running a model without leaving anything behind in it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from hx_tracer._torch_internals import version_of


@contextmanager
def preserve_state(model: torch.nn.Module) -> Generator[None]:
    """Restore attributes, buffers and tensors on exit; parameters are not restored.

    A forward may fill a cache: tables that it computes once, tensors kept for the next call. What one run leaves
    there would be a constant in the next trace; what a trace leaves there are tensors without data.

    For every module of the model this restores which attributes it has, what dicts, lists and sets among them hold,
    and the data of buffers and of tensors among the attributes. Nothing deeper inside is restored.
    """
    modules = [(module.__dict__, dict(module.__dict__)) for module in model.modules()]
    values = [value for _, before in modules for value in before.values()]
    contents: list[tuple[Any, Any]] = [(value, value.copy()) for value in values if type(value) in (dict, list, set)]
    attributes = [value for value in values if isinstance(value, torch.Tensor)]
    tensors = [
        (tensor, version_of(tensor), tensor.detach().clone())
        for tensor in (*model.buffers(), *attributes)
        if not torch.nn.parameter.is_lazy(tensor)
    ]
    try:
        yield
    finally:
        for current, before in modules:
            current.clear()
            current.update(before)
        for value, copy in contents:
            value.clear()
            (value.extend if isinstance(value, list) else value.update)(copy)
        with torch.no_grad():
            for tensor, version, copy in tensors:
                # torch 2.13's batch normalisation writes running statistics without counting that as a change.
                if version_of(tensor) != version or not (tensor.is_meta or torch.equal(tensor, copy)):
                    tensor.copy_(copy)
