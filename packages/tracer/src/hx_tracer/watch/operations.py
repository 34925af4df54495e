"""One run of a model in PyTorch, with a fingerprint of what every operation computed and of every port."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes  # pyright: ignore[reportPrivateUsage]
from torch.utils.weak import WeakTensorKeyDictionary

from hx_sidecar_schema import Fingerprint, Observation, Operation, PortValue, sample_positions
from hx_tracer.watch.calls import EagerRun, TracedCall
from hx_tracer.watch.fx_metadata import Direction, is_wrapped
from hx_tracer.watch.patches import replaced


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
            seen.note_input(tensor)
        ports.note(row, side, name, tensor)

    run = EagerRun(module, at_port)
    seen = OperationsSeen()
    with _Dispatched(run.stack, seen), Asked(run.stack, seen), modules_run():
        result = run.run(args, kwargs)
    return result, run.calls, seen.observation(ports)


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
        self._rows: list[Operation] = []
        self._made: Any = WeakTensorKeyDictionary()
        """Tensors with the rows of what they hold."""
        self._variable: Any = WeakTensorKeyDictionary()
        """Tensors that depend on an input of the model."""
        self._written: dict[int, tuple[StorageWeakRef, int]] = {}
        """Memory that was written into, and the rows of what was: other tensors may lie there too."""
        self._sized: dict[int, set[int]] = {}
        self._repeated: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def observation(self, ports: PortsSeen) -> Observation:
        """Return what was noted."""
        operations = [
            row.model_copy(
                update={
                    "sized": sorted(self._sized.get(index, ())),
                    "repeated": self._repeated.get(index, []),
                }
            )
            for index, row in enumerate(self._rows)
        ]
        return Observation(operations=operations, ports=ports.values)

    def note_input(self, tensor: torch.Tensor) -> None:
        """Take an input of the model."""
        self._variable[tensor] = True
        if is_plain(tensor):
            with _disable_current_modes():
                self._add(None, "given", [], tensor)

    def note_size(self, call: int, tensor: torch.Tensor) -> None:
        """Take that a call asked for a size of a tensor."""
        self._sized.setdefault(self._row_of(tensor), set()).add(call)

    def note_repeat(self, call: int, tensor: torch.Tensor) -> None:
        """Take that a call ran an operation that handed a tensor on as it is."""
        self._repeated.setdefault(self._row_of(tensor), []).append(call)

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
        rows = [self._row_of(tensor) for tensor in given]
        reads = sorted(set(rows))
        # Of `zeros_like(x)` and `x.new_ones(2)` the numbers of x say nothing.
        variable = not _FACTORY.search(name) and any(tensor in self._variable for tensor in given)
        for tensor in pytree.tree_leaves(result):
            if not is_plain(tensor):
                continue
            if variable:
                self._variable[tensor] = True
            held = before or given
            same = next((row for row, b in zip(rows, held, strict=True) if _equal(tensor, b)), None)
            if same is None:
                row = self._add(call, name, reads, tensor)
                if any(tensor is one for one in given):
                    storage = tensor.untyped_storage()
                    self._written[storage._cdata] = StorageWeakRef(storage), row
            else:
                self._made[tensor] = same
                self._repeated.setdefault(same, []).append(call)

    def _add(self, call: int | None, name: str, reads: list[int], tensor: torch.Tensor) -> int:
        row = self._made[tensor] = len(self._rows)
        variable = tensor in self._variable
        self._rows.append(
            Operation(call=call, name=name, reads=reads, variable=variable, value=fingerprint(tensor))
        )
        return row

    def _row_of(self, tensor: torch.Tensor) -> int:
        """Return the row of what a tensor holds now: a write into another view of its memory changed it too."""
        made = self._made.get(tensor)
        _, written = self._written.get(tensor.untyped_storage()._cdata, (None, -1))  # pyright: ignore[reportPrivateUsage]
        if made is None and written < 0:
            return self._add(None, "given", [], tensor)
        if made is not None and written <= made:
            return made
        if self._rows[written].variable:
            self._variable[tensor] = True
        reads = [written] if made is None else [made, written]
        return self._add(self._rows[written].call, self._rows[written].name, reads, tensor)


class _Dispatched(TorchDispatchMode):
    """Sees every operation below the composite ones, with the innermost of the running calls."""

    supports_higher_order_operators = True  # torch.cond is one operation

    def __init__(self, stack: Sequence[int], seen: OperationsSeen) -> None:
        super().__init__()
        self._stack = stack
        self._seen = seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # What torch.tensor makes of numbers comes here as a tensor that is given.
        leaves = [] if func is torch.ops.aten.lift_fresh.default else pytree.tree_leaves((args, kwargs))
        given = [leaf for leaf in leaves if is_plain(leaf)]
        schema = getattr(func, "_schema", None)
        before = [tensor.clone() for tensor in given] if schema is not None and schema.is_mutable else None
        result = func(*args, **(kwargs or {}))
        if self._stack:
            self._seen.note(self._stack[-1], str(func), result, given, before)
        return result


class Asked(TorchFunctionMode):
    """Sees what runs no operation: a size that is asked for, and a tensor that is handed on as it is.

    Args:
        stack: Rows of the calls that are running, the innermost last.
        seen: Is told.
    """

    def __init__(self, stack: Sequence[int], seen: OperationsSeen) -> None:
        super().__init__()
        self._stack = stack
        self._seen = seen

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = len(self._seen)
        result = func(*args, **(kwargs or {}))
        if self._stack and args and is_plain(args[0]):
            with _disable_current_modes():
                if func in _SIZES:
                    self._seen.note_size(self._stack[-1], args[0])
                elif result is args[0] and len(self._seen) == before:
                    self._seen.note_repeat(self._stack[-1], result)
        return result


_SIZES: tuple[Any, ...] = (
    torch.Tensor.size,
    torch.Tensor.shape.__get__,  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    torch.Tensor.__len__,
    torch.Tensor.numel,
    torch.Tensor.nelement,
    torch.numel,
)


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


_FACTORY = re.compile(r"\.new_\w+\.|_like\.")


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Say whether two tensors hold the same; NaN is NaN."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if torch.equal(one, other):
        return True
    kinds = one.is_floating_point() or one.is_complex()
    return kinds and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
