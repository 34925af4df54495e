"""One run of a model in PyTorch, with a fingerprint of what every operation computed and of every port."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes  # pyright: ignore[reportPrivateUsage]

from hx_sidecar_schema import Fingerprint, Observation, Operation, PortValue, sample_positions
from hx_tracer._calls import EagerRun, TracedCall
from hx_tracer._stamps import Direction, is_wrapped


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
    ports = PortsSeen()
    run = EagerRun(module, ports.note)
    operations = _Operations(run.stack)
    with operations, modules_run():
        result = run.run(args, kwargs)
    observation = Observation(
        operations=operations.seen, ports=ports.values, parameters=parameters_of(module)
    )
    return result, run.calls, observation


def parameters_of(module: torch.nn.Module) -> dict[str, Fingerprint]:
    """Return the fingerprints of a model's parameters and buffers."""
    tensors = (*module.named_parameters(), *module.named_buffers())
    return {name: fingerprint(tensor) for name, tensor in tensors if is_plain(tensor)}


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


class PortsSeen:
    """Fingerprints of the tensors that cross boundaries, in their order."""

    def __init__(self) -> None:
        self.values: list[PortValue] = []

    def note(self, row: int, side: Direction, name: str, tensor: torch.Tensor) -> None:
        """Take a port, as `EagerRun` tells of it."""
        if is_plain(tensor):
            with _disable_current_modes():
                self.values.append(PortValue(call=row, side=side, port=name, value=fingerprint(tensor)))


class _Operations(TorchDispatchMode):
    """Sees every operation below the composite ones, with the innermost of the running calls."""

    def __init__(self, stack: Sequence[int]) -> None:
        super().__init__()
        self.seen: list[Operation] = []
        self._stack = stack

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if is_plain(leaf)]
        # What an operation writes in place is compared with what was there.
        before = [tensor.clone() for tensor in given] if func._schema.is_mutable else given
        result = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(result) if self._stack else ():
            if is_plain(tensor) and not any(_equal(tensor, other) for other in before):
                row = self._stack[-1]
                self.seen.append(Operation(call=row, name=str(func), value=fingerprint(tensor)))
        return result


@contextmanager
def modules_run() -> Generator[None]:
    """Keep attention layers from the one fused kernel that stands in for all their modules, which no exporter has."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def is_plain(value: Any) -> bool:
    """Say whether a value is a tensor whose numbers can be read."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and value.device.type != "meta"
        and not is_wrapped(value)
    )


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
