"""One run of a model in PyTorch, with a fingerprint of what every operation computed and of every port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes  # pyright: ignore[reportPrivateUsage]

from hx_sidecar_schema import Fingerprint, Observation, Operation, PortValue, sample_positions
from hx_tracer._calls import EagerRun, TracedCall
from hx_tracer._stamps import Direction


def observe(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, list[TracedCall], Observation]:
    """Run a model and note what it computes.

    Args:
        module: In eval mode.
        args: Positional inputs.
        kwargs: Inputs by name.

    Returns:
        The result, the calls, and the observation. Memory beyond the run's own is a few hundred bytes an operation.
    """
    seen = _Seen()
    run = EagerRun(module, seen.note_port)
    with _Operations(run.stack, seen):
        result = run.run(args, kwargs)
    parameters = {
        name: fingerprint(tensor)
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
        if _is_plain(tensor)
    }
    observation = Observation(operations=seen.operations, ports=seen.ports, parameters=parameters)
    return result, run.calls, observation


def fingerprint(tensor: torch.Tensor) -> Fingerprint:
    """Return what tells a tensor from others."""
    flat = tensor.detach().reshape(-1)
    exact = flat.to(torch.float64) if not flat.is_complex() else torch.view_as_real(flat).reshape(-1).double()
    sample = exact[torch.tensor(sample_positions(exact.numel()), dtype=torch.long)]
    empty = exact.numel() == 0
    return Fingerprint(
        dtype=from_torch_dtype(tensor.dtype).name,
        shape=list(tensor.shape),
        sample=sample.tolist(),
        mean=0.0 if empty else float(exact.mean()),
        mean_square=0.0 if empty else float((exact * exact).mean()),
        constant=empty or bool((exact == exact[0]).all()),
    )


@dataclass
class _Seen:
    operations: list[Operation] = field(default_factory=list[Operation])
    ports: list[PortValue] = field(default_factory=list[PortValue])

    def note_port(self, row: int, side: Direction, name: str, tensor: torch.Tensor) -> None:
        if _is_plain(tensor):
            with _disable_current_modes():
                self.ports.append(PortValue(call=row, side=side, port=name, value=fingerprint(tensor)))


class _Operations(TorchDispatchMode):
    """Sees every operation below the composite ones, with the innermost of the running calls."""

    def __init__(self, stack: Sequence[int], seen: _Seen) -> None:
        super().__init__()
        self._stack = stack
        self._seen = seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if _is_plain(leaf)]
        # What an operation writes in place is compared with what was there.
        before = [tensor.clone() for tensor in given] if func._schema.is_mutable else given
        result = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(result) if self._stack else ():
            if _is_plain(tensor) and not any(_equal(tensor, other) for other in before):
                row = self._stack[-1]
                self._seen.operations.append(Operation(call=row, name=str(func), value=fingerprint(tensor)))
        return result


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and value.device.type != "meta"
    )


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
