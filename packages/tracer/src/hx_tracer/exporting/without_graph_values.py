"""The record of a run in PyTorch: calls and ports without values of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hx_sidecar_schema import ModuleCall, ModuleContext, Port, Provenance, TorchNN
from hx_tracer.exporting.context import package_versions
from hx_tracer.exporting.errors import trial
from hx_tracer.models.records import module_records
from hx_tracer.watch.calls import TensorLike, TracedCall
from hx_tracer.watch.operations import observe
from hx_tracer.watch.preserve import preserve_state
from hx_tracer.watch.uncompiled import initialize_lazy


def observed_context(
    module: torch.nn.Module, kwargs: Mapping[str, Any], *, args: tuple[Any, ...] = (), torch_nn: TorchNN = "default"
) -> ModuleContext:
    """Return the calls and the observation of one run in PyTorch, to attribute a graph that was made elsewhere.

    Args:
        module: In the mode that the graph was exported in.
        kwargs: Inputs by the names of `forward`.
        args: Values for a `forward` with variable positional arguments.
        torch_nn: Which `torch.nn` classes give tags of their own.

    Raises:
        HxError: HX109 if the inputs do not fit `forward`, HX129 if the module does not run for another reason.
    """
    with trial(module, args, kwargs):
        initialize_lazy(module, args, kwargs)
        with preserve_state(module):
            ran = observe(module, args, kwargs)
    return context_without_graph_values(module, ran.calls, torch_nn, observation=ran.observation)


def context_without_graph_values(
    module: torch.nn.Module, calls: Sequence[TracedCall], torch_nn: TorchNN, **known: Any
) -> ModuleContext:
    """Return modules and calls, with names, dtypes and shapes of the ports, and what else is known of the graph."""
    modules = module_records(module, torch_nn)
    rows = {record.fqn: row for row, record in enumerate(modules)}
    return ModuleContext(
        generator=Provenance(versions=package_versions()),
        modules=modules,
        calls=[
            ModuleCall(
                module=rows[call.fqn],
                index=call.index,
                parent=call.parent,
                inputs=_ports(call.inputs),
                outputs=_ports(call.outputs),
                constants=call.constants,
            )
            for call in calls
        ],
        **known,
    )


def _ports(known: Mapping[str, TensorLike]) -> list[Port]:
    return [Port(name=name, dtype=like.dtype, shape=[int(n) for n in like.shape]) for name, like in known.items()]
