"""One run of a model in PyTorch, with a fingerprint of what every operation computed and of every port.

The projector recognises values of a graph by these fingerprints, where the exporter kept no names.
"""

import re
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from hx_sidecar_schema import Fingerprint, Observation, Operation, PortValue, sample_positions
from hx_tracer._torch_internals import (
    TorchDispatchMode,
    changes_in_place,
    is_readable,
    pytree,
    storage_id,
    without_modes,
)
from hx_tracer.watch.calls import EagerRun, PyTorchRun, disable_fused_attention
from hx_tracer.watch.fx_metadata import Direction
from hx_tracer.watch.patches import patched


def observe(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> PyTorchRun:
    """Run a model; its observation is what it computed: a few hundred bytes an operation."""

    def at_port(row: int, side: Direction, name: str, tensor: torch.Tensor) -> None:
        if row == 0 and side == "inputs":
            operations.add_input(tensor)
        operations.add_port(row, side, name, tensor)

    run = EagerRun(module, at_port)
    operations = OperationLog()
    modes = OperationMode(run.stack, operations), QueryMode(run.stack, operations)
    with modes[0], modes[1], disable_fused_attention(), patched(torch, "cond", _run_branch):
        result = run.run(args, kwargs)
    return PyTorchRun(result, run.calls, operations.observation())


def _run_branch(
    _: Any, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Sequence[Any] = ()
) -> Any:
    """Run a branch of `torch.cond` as it is: compiled, as torch 2.13 does, no mode sees it, and nested ones fail under modes."""
    return (true_fn if pred else false_fn)(*operands)


def fingerprint(tensor: torch.Tensor) -> Fingerprint:
    """Return dtype, shape, sampled elements and moments of a strided tensor; complex ones as pairs of numbers."""
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


class OperationLog:
    """Operations and ports in their order, and which operation each tensor is the result of."""

    def __init__(self) -> None:
        """Start empty."""
        self._ports: list[PortValue] = []
        self._rows: list[Operation] = []
        self._made: Any = WeakTensorKeyDictionary()
        """Tensors with the rows of the operations that made what they hold."""
        self._variable: Any = WeakTensorKeyDictionary()
        """Tensors that depend on an input of the model."""
        self._written: dict[int, tuple[StorageWeakRef, int]] = {}
        """Memory that was changed in place, by `storage_id`, with the row of the last change: its views changed too."""

    def __len__(self) -> int:
        """Return the number of operations, inputs and given tensors among them."""
        return len(self._rows)

    def observation(self) -> Observation:
        """Return what was added."""
        return Observation(operations=self._rows, ports=self._ports)

    def add_port(self, call: int, side: Direction, name: str, tensor: torch.Tensor) -> None:
        """Add a port, with the arguments of `EagerRun`'s `at_port`; one without readable data is left out."""
        if is_readable(tensor):
            with without_modes():
                self._ports.append(PortValue(call=call, side=side, port=name, value=fingerprint(tensor)))

    def add_input(self, tensor: torch.Tensor) -> None:
        """Add an input of the model."""
        self._variable[tensor] = True
        if is_readable(tensor):
            with without_modes():
                self._add(None, "given", [], tensor)

    def add_size_query(self, call: int, tensor: torch.Tensor) -> None:
        """Add that a call asked for a size of a tensor."""
        sized = self._rows[self._row_of(tensor)].sized
        if call not in sized:
            insort(sized, call)

    def add_repeat(self, call: int, tensor: torch.Tensor) -> None:
        """Add that a call ran a function that returned its argument, as `contiguous` may."""
        self._rows[self._row_of(tensor)].repeated.append(call)

    def add(self, call: int, name: str, result: Any, given: Sequence[torch.Tensor], before: Any = None) -> None:
        """Add an operation for each tensor that it returned and that differs from all that it was given.

        `before` has copies of these from before, where it may have changed them in place.
        """
        rows = [self._row_of(tensor) for tensor in given]
        reads = sorted(set(rows))
        # Of `zeros_like(x)` and `x.new_ones(2)` the numbers of x say nothing.
        variable = not _FACTORY.search(name) and any(tensor in self._variable for tensor in given)
        for tensor in filter(is_readable, pytree.tree_leaves(result)):
            if variable:
                self._variable[tensor] = True
            same = next((row for row, held in zip(rows, before or given, strict=True) if _equal(tensor, held)), None)
            if same is None:
                row = self._add(call, name, reads, tensor)
                if any(tensor is one for one in given):
                    storage = tensor.untyped_storage()
                    self._written[storage_id(tensor)] = StorageWeakRef(storage), row
            else:
                self._made[tensor] = same
                self._rows[same].repeated.append(call)

    def _add(self, call: int | None, name: str, reads: list[int], tensor: torch.Tensor) -> int:
        row = self._made[tensor] = len(self._rows)
        variable = tensor in self._variable
        self._rows.append(Operation(call=call, name=name, reads=reads, variable=variable, value=fingerprint(tensor)))
        return row

    def _row_of(self, tensor: torch.Tensor) -> int:
        """Return the row of what a tensor holds now; if another view of its memory was changed, a new one."""
        made = self._made.get(tensor)
        _, written = self._written.get(storage_id(tensor), (None, -1))
        if made is None and written < 0:
            return self._add(None, "given", [], tensor)
        if made is not None and written <= made:
            return made
        if self._rows[written].variable:
            self._variable[tensor] = True
        reads = [written] if made is None else [made, written]
        return self._add(self._rows[written].call, self._rows[written].name, reads, tensor)


class _Observer:
    """Has the stack of running calls, the innermost last, and the log that a mode adds to."""

    def __init__(self, stack: Sequence[int], log: OperationLog) -> None:
        super().__init__()
        self._stack = stack
        self._log = log


class OperationMode(_Observer, TorchDispatchMode):
    """Adds every ATen operation that is not composite to a log, with the innermost of the running calls."""

    supports_higher_order_operators = True  # torch.cond is one operation

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and add it."""
        # What torch.tensor makes of numbers comes here as an argument of lift_fresh.
        leaves = [] if func is torch.ops.aten.lift_fresh.default else pytree.tree_leaves((args, kwargs))
        given = [leaf for leaf in leaves if is_readable(leaf)]
        before = [tensor.clone() for tensor in given] if changes_in_place(func) else None
        result = func(*args, **(kwargs or {}))
        if self._stack:
            self._log.add(self._stack[-1], str(func), result, given, before)
        return result


class QueryMode(_Observer, TorchFunctionMode):
    """Adds to a log what runs no ATen operation: queries of sizes, and functions that return their argument."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a function and add it, if it is one of these."""
        before = len(self._log)
        result = func(*args, **(kwargs or {}))
        if self._stack and args and is_readable(args[0]):
            with without_modes():
                if func in _SIZES:
                    self._log.add_size_query(self._stack[-1], args[0])
                elif result is args[0] and len(self._log) == before:
                    self._log.add_repeat(self._stack[-1], result)
        return result


_SIZES: tuple[Any, ...] = (
    torch.Tensor.size,
    torch.Tensor.shape.__get__,  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    torch.Tensor.__len__,
    torch.Tensor.numel,
    torch.Tensor.nelement,
    torch.numel,
)


_FACTORY = re.compile(r"\.new_\w+\.|_like\.")


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors are equal in dtype, shape and elements, where NaN equals NaN."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    has_nan = one.is_floating_point() or one.is_complex()
    return torch.equal(one, other) or (has_nan and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True))
