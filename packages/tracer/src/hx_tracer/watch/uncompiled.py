"""Running a model as its Python says, whatever `torch.compile` was asked to make of it.

A compiled module runs none of its submodules, and an exporter sees what is written, not what was compiled. Measured on
torch 2.13: `torch.export` runs compiled functions as they are written, and `Module.compile` binds the method below
`Module.__call__` early, so that a later replacement of it is not seen.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from hx_tracer._torch_internals import COMPILED_CALL, uncompiled_forward


@contextmanager
def uncompiled(model: torch.nn.Module) -> Generator[None]:
    """Call modules of a model that are compiled as if they were not while the block runs; functions are left alone."""
    changed: list[tuple[dict[str, Any], str, bool, Any]] = []
    for module in model.modules():
        forward = uncompiled_forward(module)
        own = {COMPILED_CALL: None} if module.__dict__.get(COMPILED_CALL) is not None else {}
        for name, value in (own if forward is None else {**own, "forward": forward}).items():
            changed.append((module.__dict__, name, name in module.__dict__, module.__dict__.get(name)))
            module.__dict__[name] = value
    try:
        yield
    finally:
        for attributes, name, present, value in changed:
            attributes.pop(name, None)
            if present:
                attributes[name] = value


@contextmanager
def run_eagerly(model: torch.nn.Module) -> Generator[None]:
    """Run a model without the compiler of `torch.compile`, functions among its code too, while the block runs.

    Other threads' compiled functions run as they are written meanwhile: torch has one stance for all.
    """
    with uncompiled(model), torch.compiler.set_stance("force_eager"):
        yield
