"""One run of a model in PyTorch, with a fingerprint of what every operation computed and of every port."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes  # pyright: ignore[reportPrivateUsage]
from torch.utils.weak import WeakTensorKeyDictionary

from hx_sidecar_schema import Fingerprint, Observation, Operation, PortValue, sample_positions
from hx_tracer._calls import EagerRun, TracedCall
from hx_tracer._patches import replaced
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

    def at_port(row: int, side: Direction, name: str, tensor: torch.Tensor) -> None:
        if row == 0 and side == "inputs":
            operations.seen.note_input(tensor)
        ports.note(row, side, name, tensor)

    run = EagerRun(module, at_port)
    operations = _Dispatched(run.stack)
    with operations, modules_run():
        result = run.run(args, kwargs)
    observation = Observation(
        operations=operations.seen.rows, ports=ports.values, parameters=parameters_of(module)
    )
    return result, run.calls, observation


def parameters_of(module: torch.nn.Module) -> dict[str, Fingerprint]:
    """Return the fingerprints of a model's parameters and buffers."""
    tensors = (*module.named_parameters(), *module.named_buffers())
    return {name: fingerprint(tensor) for name, tensor in tensors if is_plain(tensor)}


def fingerprint(tensor: torch.Tensor) -> Fingerprint:
    """Return what tells a tensor from others."""
    flat = tensor.detach().reshape(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat.resolve_conj()).reshape(-1)
    exact = flat.to(torch.float64)
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


class OperationsSeen:
    """Operations in their order, and which tensor came of which."""

    def __init__(self) -> None:
        self.rows: list[Operation] = []
        self._made: Any = WeakTensorKeyDictionary()
        self._variable: Any = WeakTensorKeyDictionary()
        """Tensors that depend on an input of the model."""

    def note_input(self, tensor: torch.Tensor) -> None:
        """Take an input of the model."""
        self._variable[tensor] = True

    def note(
        self, call: int, name: str, result: Any, given: Sequence[torch.Tensor], before: Any = None
    ) -> None:
        """Take what an operation returned.

        Args:
            call: Row of the call that ran it.
            name: Of the operation.
            result: What it returned.
            given: The tensors that it was given.
            before: Copies of those, where it may have written into them.
        """
        reads = sorted({self._made[tensor] for tensor in given if tensor in self._made})
        variable = any(tensor in self._variable for tensor in given)
        for tensor in pytree.tree_leaves(result):
            if not is_plain(tensor):
                continue
            if variable:
                self._variable[tensor] = True
            same = next((g for g, b in zip(given, before or given, strict=True) if _equal(tensor, b)), None)
            if same is None:
                self._made[tensor] = len(self.rows)
                self.rows.append(
                    Operation(call=call, name=name, reads=reads, variable=variable, value=fingerprint(tensor))
                )
            elif same in self._made:
                self._made[tensor] = self._made[same]
            else:  # an input or a parameter was copied into it
                self._made.pop(tensor, None)


class _Dispatched(TorchDispatchMode):
    """Sees every operation below the composite ones, with the innermost of the running calls."""

    def __init__(self, stack: Sequence[int]) -> None:
        super().__init__()
        self.seen = OperationsSeen()
        self._stack = stack

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if is_plain(leaf)]
        before = [tensor.clone() for tensor in given] if func._schema.is_mutable else None
        result = func(*args, **(kwargs or {}))
        if self._stack:
            self.seen.note(self._stack[-1], str(func), result, given, before)
        return result


@contextmanager
def modules_run() -> Generator[None]:
    """Keep attention layers from the one fused kernel that stands in for all their modules, which no exporter has."""

    def disabled(_: object) -> bool:
        return False

    # Not through set_fastpath_enabled: that switch is every thread's.
    with replaced(torch.backends.mha, "get_fastpath_enabled", disabled):
        yield


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
