"""Calls with ports that no graph has been searched for yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hx_sidecar_schema import ModuleCall, ModuleContext, Port, Provenance, TorchNN
from hx_tracer.exporting.context import versions
from hx_tracer.exporting.errors import quiet, unfit
from hx_tracer.models.records import module_records
from hx_tracer.watch.calls import TensorLike, TracedCall
from hx_tracer.watch.operations import observe
from hx_tracer.watch.preserve import unchanged


def observed_context(
    module: torch.nn.Module,
    kwargs: Mapping[str, Any],
    *,
    args: tuple[Any, ...] = (),
    torch_nn: TorchNN = "default",
) -> ModuleContext:
    """Run a model and return what was seen, for a graph of it that was made elsewhere.

    Args:
        module: In eval mode.
        kwargs: Inputs by the names of `forward`.
        args: Values for a `forward` with variable positional arguments.
        torch_nn: Which `torch.nn` classes give tags of their own.

    Raises:
        HxError: HX109 if the inputs do not fit `forward`.
    """
    with unchanged(module):
        try:
            with quiet():
                _, calls, observation = observe(module, args, kwargs)
        except Exception as error:
            raise unfit(error, module, kwargs) from error
    context = unplaced_context(module, calls, torch_nn)
    return context.model_copy(update={"observation": observation})


def unplaced_context(
    module: torch.nn.Module, calls: Sequence[TracedCall], torch_nn: TorchNN
) -> ModuleContext:
    """Return modules and calls; of ports what PyTorch says of them, and no values of a graph."""
    modules = module_records(module, torch_nn)
    rows = {record.fqn: row for row, record in enumerate(modules)}
    return ModuleContext(
        generator=Provenance(versions=versions()),
        modules=modules,
        calls=[
            ModuleCall(
                module=rows[call.fqn],
                index=call.index,
                parent=call.parent,
                inputs=[_port(name, like) for name, like in call.inputs.items()],
                outputs=[_port(name, like) for name, like in call.outputs.items()],
            )
            for call in calls
        ],
    )


def _port(name: str, like: TensorLike) -> Port:
    return Port(name=name, dtype=like.dtype, shape=[int(dim) for dim in like.shape])
