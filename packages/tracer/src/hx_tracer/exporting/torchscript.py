"""The TorchScript exporter, `torch.onnx.export(dynamo=False)`, watched.

It takes models that the other one refuses. Its graph keeps nothing of the modules but node names made of scopes, in
which the second call of `lin` and a module named `lin_1` look alike. So each scope carries the number of its call
while the model is traced, and the numbers are taken out of the names again.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Generator as Yields
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch.utils import _pytree as pytree

from hx_sidecar_schema import Initializer, ModuleContext
from hx_tracer.exporting.errors import quiet, refused
from hx_tracer.exporting.request import Job
from hx_tracer.exporting.without_graph_values import unplaced_context
from hx_tracer.inputs.record import example_record
from hx_tracer.watch.calls import first_names, identity, watching_calls
from hx_tracer.watch.patches import replaced
from hx_tracer.watch.ports import input_ports, output_ports
from hx_tracer.watch.preserve import unchanged

CallKey = tuple[str, int]
"""Fqn and index of a call."""

_MARK = "@hx"
_MARKED = re.compile(rf"{_MARK}(\d+)")


def export_torchscript(job: Job) -> tuple[torch.onnx.ONNXProgram, ModuleContext, list[str]]:
    """Export a module through TorchScript.

    Returns:
        The model, named as a plain export of the same call names it, what was seen, and no notes.

    Raises:
        ExportError: HX120 if the exporter refuses the model.
    """
    leaves, spec = pytree.tree_flatten((job.args, dict(job.kwargs)))
    places = [index for index, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    tensors = [leaves[place] for place in places]
    input_names, output_names = graph_names(job.module, job.args, job.kwargs, job.result, tensors)
    axes = axes_that_hold(job, tensors, input_names, leaves, spec, places)
    scopes = _Scopes(job.module)
    try:
        with (
            quiet(),
            silent_about_graphs(),
            unchanged(job.module),
            _taking_tensors(job.module, leaves, spec, places),
            watching_calls(scopes.call),
            tempfile.TemporaryDirectory() as folder,
        ):
            path = Path(folder) / "model.onnx"
            torch.onnx.export(
                job.module,
                tuple(tensor.clone() for tensor in tensors),  # a model may change its inputs in place
                str(path),
                dynamo=False,
                input_names=input_names,
                output_names=output_names,
                dynamic_axes=axes,
                opset_version=job.opset,
            )
            typed = Path(folder) / "typed.onnx"  # the exporter writes no types of inner values
            onnx.shape_inference.infer_shapes_path(path, typed, data_prop=True)
            model = ir.load(typed)
            ir.external_data.load_to_model(model)
    except Exception as error:
        raise refused(error, {}) from error
    ran = _take_numbers_out(model, scopes.keys)
    return (
        torch.onnx.ONNXProgram(model, None),
        _context(job, model, ran, dict(zip(input_names, tensors, strict=True))),
        [],
    )


def silent_about_graphs() -> AbstractContextManager[None]:
    """Keep the exporter from printing the whole graph on stdout where it fails.

    torch 2.13 means to do so only when asked to, and always does.
    """
    return replaced(torch._C, "_jit_onnx_log", lambda *_: None)  # pyright: ignore[reportPrivateUsage, reportUnknownLambdaType]


def graph_names(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    result: Any,
    tensors: Sequence[torch.Tensor],
) -> tuple[list[str], list[str]]:
    """Return the names of the graph's inputs and outputs: those of the root's ports.

    Args:
        module: The root.
        args: Its positional arguments.
        kwargs: Its arguments by name.
        result: What it returned for them.
        tensors: Those among the arguments, in order.
    """
    paths = {id(tensor): name for name, tensor in input_ports(module, args, kwargs)}
    inputs = [paths.get(id(tensor), f"input.{index}") for index, tensor in enumerate(tensors)]
    for index, name in enumerate(inputs):  # one tensor for two arguments
        if name in inputs[:index]:
            inputs[index] = f"{name}.{index}"
    return inputs, [name for name, _ in output_ports(result, inputs)]


def axes_that_hold(
    job: Job,
    tensors: Sequence[torch.Tensor],
    names: Sequence[str],
    leaves: list[Any],
    spec: pytree.TreeSpec,
    places: Sequence[int],
) -> dict[str, dict[int, str]]:
    """Return the dynamic axes without those that the model itself fixes, which a trace does not show: tried out."""
    held: set[str] = set()
    for symbol in {symbol for named in job.axes.values() for symbol in named.values()}:
        given = list(leaves)
        for place, tensor, name in zip(places, tensors, names, strict=True):
            longer = tensor.clone()
            for axis, used in job.axes.get(name, {}).items():
                if used == symbol:
                    longer = torch.cat([longer, longer.narrow(axis, 0, 1)], axis)
            given[place] = longer
        args, kwargs = pytree.tree_unflatten(given, spec)
        try:
            with quiet(), unchanged(job.module), torch.no_grad():
                job.module(*args, **kwargs)
        except Exception:  # noqa: BLE001 - the model says no in whatever way it likes; the axis is reported as static
            continue
        held.add(symbol)
    fitting = {
        name: {axis: symbol for axis, symbol in named.items() if symbol in held}
        for name, named in job.axes.items()
    }
    return {name: named for name, named in fitting.items() if named}


def _context(
    job: Job, model: ir.Model, ran: Mapping[str, CallKey], inputs: Mapping[str, torch.Tensor]
) -> ModuleContext:
    rows = {(call.fqn, call.index): row for row, call in enumerate(job.calls)}
    context = unplaced_context(job.module, job.calls, job.torch_nn)
    return context.model_copy(
        update={
            "origins": {output: [rows[key]] for output, key in ran.items() if key in rows},
            "initializers": _initializers(job.module, model),
            "examples": {name: example_record(tensor) for name, tensor in inputs.items()},
        }
    )


def _initializers(module: torch.nn.Module, model: ir.Model) -> list[Initializer]:
    """Tie every weight to the parameter it is: by its name, or by its numbers where the exporter transposed it."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    turned: dict[bytes, list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 2 and tensor.dtype != torch.bfloat16:
            turned.setdefault(_digest(tensor.detach().cpu().numpy().T), []).append(name)
    rows: list[Initializer] = []
    for name, value in model.graph.initializers.items():
        known, transform = (name if name in tensors else None), None
        if known is None and value.const_value is not None and len(value.const_value.shape) == 2:
            alike = turned.get(_digest(value.const_value.numpy()), [])
            if len(alike) == 1:
                known, transform = alike[0], "transposed"
        rows.append(Initializer(name=name, parameter=known, transform=transform))
    return rows


def _digest(array: np.ndarray[Any, Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).data).digest()


class _Scopes:
    """Numbers the calls of a trace in the scope names that the tracer takes from `torch.jit._trace`."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.keys: list[CallKey] = []
        """Of each number."""
        self._names = first_names(module)
        self._counts: Counter[str] = Counter()
        self._depth = 0

    def call(
        self, call_impl: Any, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        names: dict[torch.nn.Module, str] | None = torch.jit._trace._trace_module_map  # pyright: ignore
        fqn = self._names.get(identity(module))
        if names is None or fqn is None or module not in names:
            return call_impl(module, *args, **kwargs)
        if not self._depth:  # a new trace of the root
            self.keys.clear()
            self._counts.clear()
        name = names[module]
        names[module] = f"{name}{_MARK}{len(self.keys)}"
        self.keys.append((fqn, self._counts[fqn]))
        self._counts[fqn] += 1
        self._depth += 1
        try:
            return call_impl(module, *args, **kwargs)
        finally:
            self._depth -= 1
            names[module] = name


@contextmanager
def _taking_tensors(
    module: torch.nn.Module, leaves: list[Any], spec: pytree.TreeSpec, places: list[int]
) -> Yields[None]:
    """Let a module take the tensors among its inputs by position while the block runs.

    The exporter binds keyword arguments to positions by the signature, which decorated forwards do not show, and
    returns only what TorchScript has types for. A wrapping module would add a scope.
    """
    forward: Any = module.forward
    before: Any = module.__dict__.get("forward")
    running = False

    def flat(*tensors: Any, **named: Any) -> Any:
        nonlocal running
        if running:  # the module calls itself
            return forward(*tensors, **named)
        given = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            given[place] = tensor
        args, kwargs = pytree.tree_unflatten(given, spec)
        running = True
        try:
            result = forward(*args, **kwargs)
        finally:
            running = False
        return tuple(tensor for _, tensor in output_ports(result, ()))

    module.__dict__["forward"] = flat
    try:
        yield
    finally:
        del module.__dict__["forward"]
        if before is not None:
            module.__dict__["forward"] = before


def _take_numbers_out(model: ir.Model, keys: Sequence[CallKey]) -> dict[str, CallKey]:
    """Rename nodes and values as torch 2.13 names them without numbers, and return the calls by first outputs.

    It names a scope by the attributes that lead to it, each further scope of the same name `NAME_1`, `NAME_2` in the
    order in which nodes of theirs come; nodes in a scope likewise, by their operator; and values by their node.
    """
    calls: dict[str, CallKey] = {}
    scopes: dict[str, str] = {}
    taken_scopes: Counter[str] = Counter()
    taken_names: Counter[str] = Counter()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        marked = node.name or ""
        numbers = _MARKED.findall(marked)
        if not numbers:
            continue
        scope = marked.rpartition("/")[0]
        if scope not in scopes:
            scopes[scope] = _unique(_MARKED.sub("", scope), taken_scopes)
        node.name = _unique(f"{scopes[scope]}/{node.op_type}", taken_names)
        for out in node.outputs:
            if out.name and out.name.startswith(marked):
                out.name = node.name + out.name.removeprefix(marked)
        calls[next((out.name for out in node.outputs if out.name), "")] = keys[int(numbers[-1])]
    return calls


def _unique(name: str, taken: Counter[str]) -> str:
    taken[name] += 1
    return name if taken[name] == 1 else f"{name}_{taken[name] - 1}"
