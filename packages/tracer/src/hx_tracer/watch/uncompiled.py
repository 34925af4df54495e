"""Running a model as its Python says, whatever `torch.compile` was asked to make of it, in eval mode, with all its weights.

A compiled module runs none of its submodules, and an exporter sees what is written, not what was compiled. Measured on
torch 2.13: `torch.export` runs compiled functions as they are written, and `Module.compile` binds the method below
`Module.__call__` early, so that a later replacement of it is not seen.
"""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from hx_sidecar_schema import Shared
from hx_tracer._torch_internals import COMPILED_CALL, uncompiled_forward
from hx_tracer.watch.patches import own_attribute
from hx_tracer.watch.unread import weights_unread


@contextmanager
def uncompiled(model: torch.nn.Module) -> Generator[None]:
    """Call modules of a model that are compiled as if they were not while the block runs; functions are left alone."""
    with ExitStack() as stack:
        for module in model.modules():
            forward = uncompiled_forward(module)
            if module.__dict__.get(COMPILED_CALL) is not None:
                stack.enter_context(own_attribute(module, COMPILED_CALL, None))
            if forward is not None:
                stack.enter_context(own_attribute(module, "forward", forward))
        yield


_stance = Shared(lambda: torch.compiler.set_stance("force_eager"))


@contextmanager
def run_eagerly(model: torch.nn.Module) -> Generator[None]:
    """Run a model without the compiler of `torch.compile`, functions among its code too, while the block runs.

    Weights that are not to be read are not.

    Other threads' compiled functions run as they are written meanwhile: torch has one stance for all.
    """
    with uncompiled(model), _stance, weights_unread(model):
        yield


def run_seeded(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run a module without gradients, with random numbers that are the same every time; return what it returns."""
    with torch.random.fork_rng(devices=[]), torch.no_grad(), run_eagerly(module):
        torch.manual_seed(0)
        return module(*args, **kwargs)


def initialize_lazy(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[str]:
    """Run a module once if it has parameters or buffers that are not initialised; return the names of those.

    They stay, and are the same whenever a module like it is run on inputs of these shapes. What the run raises is raised.
    """
    values = (*module.named_parameters(), *module.named_buffers())
    names = [name for name, value in values if torch.nn.parameter.is_lazy(value)]
    if names:
        run_seeded(module, args, kwargs)
    return names


def set_eval_mode(module: torch.nn.Module) -> None:
    """Put a module in eval mode.

    A program of `torch.export` keeps the mode in which it was captured, and refuses (torch 2.13): there, and in whatever
    holds one, the flags alone are set.
    """
    try:
        module.eval()
    except NotImplementedError:
        for part in module.modules():
            part.training = False
