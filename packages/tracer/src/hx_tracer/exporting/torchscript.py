"""The TorchScript exporter, `torch.onnx.export(dynamo=False)`, watched.

It takes models that the other one refuses. Its graph (torch 2.13) keeps nothing of the modules but node names made of
scopes, in which the second call of `lin` and a module named `lin_1` look alike. So the scope of every call is given the
row of the call while the model is traced, and the rows are removed from the names afterwards: what remains are the names
of a plain export.
"""

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch

from hx_graph import output_of
from hx_sidecar_schema import Initializer
from hx_tracer._torch_internals import JIT_CSE, JIT_LOG, jit_scope_names, pytree
from hx_tracer.exporting.context import context_of_run
from hx_tracer.exporting.errors import export_error, runs, watched_export
from hx_tracer.exporting.merged_torchscript import Elimination
from hx_tracer.exporting.request import ExportRequest, Watched
from hx_tracer.inputs.arguments import example_record, with_tensors
from hx_tracer.inputs.dynamic_axes import Axes
from hx_tracer.watch.calls import CallKey, CallLog, PyTorchRun, TracedCall, watching_calls
from hx_tracer.watch.decisions import watching_decisions
from hx_tracer.watch.patches import own_attribute, patched
from hx_tracer.watch.ports import forward_signature, output_ports

_MARK = "@hx"
_MARKED = re.compile(rf"{_MARK}(\d+)")


def export_torchscript(request: ExportRequest, pytorch: Callable[[], PyTorchRun]) -> Watched:
    """Export a module through TorchScript; `pytorch` runs it in PyTorch, when first called.

    Raises:
        ExportError: HX120 if the exporter refuses the model.
        HxError: HX109 or HX129 if the module does not run in PyTorch either.
    """
    scopes = _NumberedScopes(request.module)
    elimination = Elimination(_row_in, lambda: [call.parent for call in scopes.calls])
    try:
        with (
            watched_export(request.module),
            watching_decisions() as decided,
            watching_calls(scopes.call),
            patched(*JIT_CSE, elimination.watch),
        ):
            model = run_torchscript(request)
    except Exception as error:
        pytorch()  # whose error is the one to report: inputs that do not fit
        raise export_error(error, request.module, {}) from error
    calls, ran = pytorch().calls, _remove_rows(model, scopes.calls)
    rows = {call.key: row for row, call in enumerate(calls)}
    context = context_of_run(
        request.module,
        request.torch_nn,
        calls,
        {
            scopes.calls[row].key: sorted({rows[key] for other in others if (key := scopes.calls[other].key) in rows})
            for row, others in elimination.merged.items()
        },
        origins={output: [rows[key]] for output, key in ran.items() if key in rows},
        initializers=_initializers(request.module, model),
        examples={
            name: example_record(tensor)
            for name, (_, tensor) in zip(_input_names(request), request.tensors, strict=True)
        },
    )
    notes: list[str] = []
    if decided:
        more = f" and {len(decided) - 1} more place{'s' * (len(decided) > 2)}" if len(decided) > 1 else ""
        notes = [
            f"Python took numbers out of tensors at {decided[0]}{more}: the trace keeps those of these inputs, and what "
            "was decided by them, for all inputs."
        ]
    return torch.onnx.ONNXProgram(model, None), context, notes


def run_torchscript(request: ExportRequest) -> ir.Model:
    """Run the TorchScript exporter; return its model with the types that shape inference finds for inner values."""
    input_names, output_names = _input_names(request), list(request.output_names or ())
    axes = _axes_that_vary(request)
    silent = patched(*JIT_LOG, lambda *_: None)
    given, by_position = _positional(request, input_names, output_names)
    with silent, by_position, tempfile.TemporaryDirectory() as folder:
        path, typed = Path(folder) / "model.onnx", Path(folder) / "typed.onnx"
        torch.onnx.export(
            request.module,
            pytree.tree_map_only(torch.Tensor, torch.clone, given),  # a model may change its inputs in place
            str(path),
            dynamo=False,
            input_names=input_names,
            output_names=output_names,
            dynamic_axes={name: named for name, named in zip(input_names, axes, strict=False) if named},
            opset_version=request.opset,
        )
        onnx.shape_inference.infer_shapes_path(path, typed, data_prop=True)
        model = ir.load(typed)
        ir.external_data.load_to_model(model)
    return model


def _positional(
    request: ExportRequest, inputs: Sequence[str], outputs: list[str]
) -> tuple[tuple[Any, ...], AbstractContextManager[None]]:
    """Return what the exporter is given by position, and a context in which the module takes it so; name its outputs."""
    signature = forward_signature(request.module)
    if signature is None or not isinstance(request.module, torch.jit.ScriptModule):
        return tuple(tensor for _, tensor in request.tensors), _tensors_by_position(request, inputs, outputs)
    with torch.no_grad():
        result = request.module(*request.args, **request.kwargs)
    outputs.extend(name for name, _ in output_ports(result, inputs)[len(outputs) :])
    bound = signature.bind(*request.args, **request.kwargs)  # its graph is exported as it is
    bound.apply_defaults()
    return bound.args, nullcontext()


def _input_names(request: ExportRequest) -> list[str]:
    """Return the names of the graph's inputs: those that were asked for, then those of the root's ports."""
    asked = request.input_names or ()
    return [*asked, *(path for path, _ in request.tensors[len(asked) :])]


def _axes_that_vary(request: ExportRequest) -> list[Axes]:
    """Return the dynamic axes of each input tensor without those that the model itself fixes.

    A TorchScript trace does not show which ones: the model is run once for each symbol, on inputs that are longer by
    one along the axes of that symbol.
    """
    asked = [request.asked_axes.get(path, {}) for path, _ in request.tensors]
    vary: set[str] = set()
    for symbol in {symbol for named in asked for symbol in named.values()}:
        longer: list[torch.Tensor] = []
        for (_, tensor), named in zip(request.tensors, asked, strict=True):
            for axis in (axis for axis, used in named.items() if used == symbol):
                tensor = torch.cat([tensor, tensor.narrow(axis, 0, 1)], axis)
            longer.append(tensor)
        with torch.no_grad():
            if runs(request.module, *with_tensors(request.args, request.kwargs, longer)):
                vary.add(symbol)
    return [{axis: symbol for axis, symbol in named.items() if symbol in vary} for named in asked]


def _initializers(module: torch.nn.Module, model: ir.Model) -> list[Initializer]:
    """Return the parameter of every initializer: the one of its name, or the only one whose transpose it equals."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    turned: dict[bytes, list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            bits = tensor.detach().view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor.detach()
            turned.setdefault(_digest(bits.cpu().numpy().T), []).append(name)
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
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()


class _NumberedScopes(CallLog):
    """Adds the row of every call of a trace to the name of its scope."""

    def call(self, call_impl: Any, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        names = jit_scope_names()
        fqn = self.fqn_of(module)
        if names is None or fqn is None or module not in names:
            return call_impl(module, *args, **kwargs)
        if not self.stack:  # a new trace of the root
            self.clear()
        name = names[module]
        with self.running(fqn) as row:
            names[module] = f"{name}{_MARK}{row}"
            try:
                return call_impl(module, *args, **kwargs)
            finally:
                names[module] = name


def _tensors_by_position(
    request: ExportRequest, inputs: Sequence[str], outputs: list[str]
) -> AbstractContextManager[None]:
    """Let a module take the tensors among its inputs by position while the block runs, and name its outputs.

    The names of its result's ports are added to `outputs`, which the exporter (torch 2.13) reads after the trace.

    The exporter binds keyword arguments to positions by the signature, which decorated forwards do not show, and
    returns only what TorchScript has types for. A wrapping module would add a scope.
    """
    forward: Any = request.module.forward
    running = False

    def flat(*tensors: Any, **named: Any) -> Any:
        nonlocal running
        if running:  # the module calls itself
            return forward(*tensors, **named)
        args, kwargs = with_tensors(request.args, request.kwargs, tensors)
        running = True
        try:
            result = forward(*args, **kwargs)
        finally:
            running = False
        ports = output_ports(result, inputs)
        outputs.extend(name for name, _ in ports[len(outputs) :])
        return tuple(tensor for _, tensor in ports)

    return own_attribute(request.module, "forward", flat)


def _remove_rows(model: ir.Model, traced: Sequence[TracedCall]) -> dict[str, CallKey]:
    """Rename nodes and values as torch names them without rows; return the calls by first outputs of their nodes.

    torch 2.13 names a scope by the attributes that lead to it, each further scope of the same name `NAME_1`, `NAME_2` in
    the order of their nodes; nodes in a scope likewise, by their operator; and values by their node.
    """
    calls: dict[str, CallKey] = {}
    scopes: dict[str, str] = {}
    taken_scopes: Counter[str] = Counter()
    taken_names: Counter[str] = Counter()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        marked = node.name or ""
        row = _row_in(marked)
        if row is None:
            continue
        scope = marked.rpartition("/")[0]
        if scope not in scopes:
            scopes[scope] = _unique(_MARKED.sub("", scope), taken_scopes)
        node.name = _unique(f"{scopes[scope]}/{node.op_type}", taken_names)
        for out in node.outputs:
            if out.name and out.name.startswith(marked):
                out.name = node.name + out.name.removeprefix(marked)
        calls[output_of(node)] = traced[row].key
    return calls


def _row_in(scope: str) -> int | None:
    """Return the row of the innermost call in the name of a scope; None where it has none."""
    rows = _MARKED.findall(scope)
    return int(rows[-1]) if rows else None


def _unique(name: str, taken: Counter[str]) -> str:
    taken[name] += 1
    return name if taken[name] == 1 else f"{name}_{taken[name] - 1}"
