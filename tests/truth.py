"""What is true of a model, found without hx: PyTorch's own hooks, and a plain export.

Only the names of ports are built here a second time, from the signature and the containers, as the documentation
says them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import logging
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

import hx
import hx_extractor
import hx_projector
import hx_tracer
from hx_sidecar_schema import STRATEGIES, HxError

Tensors = dict[str, torch.Tensor]
Calls = dict[tuple[str, int], tuple[Tensors, Tensors]]


@dataclasses.dataclass
class Verdict:
    """How one export compares with PyTorch and with a plain export."""

    nodes: int
    exact_percent: float
    covered_percent: float
    statuses: dict[str, int]
    reasons: dict[str, int]
    """Why calls are not extractable, names left out."""
    difference: str | None
    """Where the graph differs from a plain export's; None where it does not, or where that one fails."""
    extracted: int = 0
    worst: float = 0.0
    """Largest error of a call, relative to the largest magnitude of its output."""
    unseen_sizes_refused: str | None = None
    """What PyTorch itself says of sizes that the export never saw; the calls are compared at the export's then."""
    reordered: list[str] = dataclasses.field(default_factory=list)
    """Calls that choose the right entries in another order, which `topk(sorted=False)` leaves open."""
    problems: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def examine(
    module: torch.nn.Module, example: Any, *, dynamic: bool, tolerance: float = 1e-4, strategy: str = "dynamo"
) -> Verdict:
    """Export a module, validate the files, cut every extractable call out, and run each beside the module itself.

    Args:
        module: In eval mode.
        example: Inputs as a factory returns them; None where hx shall make them.
        dynamic: Compare at a batch and length that the export never saw, where PyTorch takes them.
        tolerance: On the relative error.
        strategy: Name of the one to export and attribute with.
    """
    inputs = hx_tracer.example_inputs(module, example=example)
    tensors = hx_tracer.argument_paths(module, inputs.args, inputs.kwargs)
    axes = hx_tracer.free_axes(tensors) if dynamic else {}
    exported = hx.export(module, inputs.args, kwargs=inputs.kwargs, dynamic=dynamic, strategy=strategy, verify=False)
    report = exported.report
    verdict = Verdict(
        nodes=report.nodes,
        exact_percent=report.exact_percent,
        covered_percent=report.covered_percent,
        statuses=report.calls,
        reasons=dict(
            Counter(
                f"{call.status}: " + re.sub("'.*'", "…", call.reason)
                for call in exported
                if call.status != "extractable"
            )
        ),
        difference=None,
        notes=report.notes,
    )
    if STRATEGIES[strategy].exporter == "dynamo" and not report.notes:  # else the plain export fails
        plain = plain_export(module, inputs.args, inputs.kwargs, axes)
        verdict.difference = hx_projector.first_difference(plain.model, exported.model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        exported.save(path, verify=False)
        verdict.problems += [f"{found.code} {found.subject}: {found.message}" for found in hx.validate(path).findings]
        model = hx.load(path)
        kwargs = _other_sizes(inputs.kwargs, axes, report.static_axes) if dynamic else inputs.kwargs
        try:
            truth = run_with_hooks(module, inputs.args, kwargs)
        except Exception as error:
            if not dynamic:
                raise
            verdict.unseen_sizes_refused = f"{type(error).__name__}: {error}"[:300]
            kwargs = inputs.kwargs
            truth = run_with_hooks(module, inputs.args, kwargs)
        given = [t for t in pytree.tree_leaves((inputs.args, kwargs)) if isinstance(t, torch.Tensor)]
        names = list(report.inputs)  # fewer where the exporter drops one that nothing uses
        whole = dict(zip(names, map(array, given), strict=True)) if len(names) == len(given) else {}
        for call in model.calls(status="extractable"):
            _check(call, truth, whole, tolerance, verdict)
    known = {(call.fqn, call.index) for call in exported}
    verdict.problems += [f"{fqn}@{index}: hx has no such call" for fqn, index in truth if (fqn, index) not in known]
    return verdict


def plain_export(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], axes: Mapping[str, dict[int, str]]
) -> torch.onnx.ONNXProgram:
    """Return what `torch.onnx.export` alone makes of a module."""
    with quiet():
        plain = torch.onnx.export(
            module,
            args,
            kwargs=dict(kwargs),
            dynamo=True,
            verbose=False,
            dynamic_shapes=hx_tracer.dynamic_shapes(module, args, kwargs, axes),
        )
    assert plain is not None
    return plain


def _check(call: hx.Call, truth: Calls, whole: Mapping[str, Any], tolerance: float, verdict: Verdict) -> None:
    if (call.fqn, call.index) not in truth:
        verdict.problems.append(f"{call.tag}: PyTorch did not call it")
        return
    given, returned = truth[call.fqn, call.index]
    extraction = call.extract()
    unread = [
        port.name
        for port, value in zip(extraction.inputs, extraction.model.graph.inputs, strict=True)
        if not value.uses() and not value.is_graph_output()
    ]
    if unread:
        verdict.problems.append(f"{call.tag}: its status says that it takes {unread}, which nothing reads")
    unknown = [port.name for port in extraction.inputs if port.name not in given and not port.implicit]
    left_out = [
        name
        for name in returned
        if name not in {port.name for port in (*extraction.outputs, *(p for p in call.outputs if p.unused))}
    ]
    if unknown or left_out:
        verdict.problems.append(f"{call.tag}: inputs {unknown} are no arguments, outputs {left_out} are missing")
        return
    feeds = {port.name: array(given[port.name]) for port in extraction.inputs if port.name in given}
    implicit = {port.carrier: port.name for port in extraction.inputs if port.implicit}
    if implicit:  # no argument: only the exported model can say what was in it
        values = call.hierarchy.run(whole, implicit)
        feeds |= {implicit[name]: found for name, found in values.items()}
    try:
        actual = extraction.run(feeds)
    except HxError as refused:
        verdict.problems.append(f"{call.tag}: {refused.message}")
        return
    expected = {name: array(returned[name]) for name in actual}
    error = hx_extractor.compare(expected, actual).relative_error
    if not error <= tolerance and any(values.dtype.kind == "i" for values in actual.values()):
        in_order = hx_extractor.compare(_sorted(expected), _sorted(actual)).relative_error
        if in_order <= tolerance:
            verdict.reordered.append(call.tag)
            error = in_order
    verdict.worst = max(verdict.worst, error)
    verdict.extracted += error <= tolerance
    if not error <= tolerance:
        verdict.problems.append(f"{call.tag}: error {error:.2g}")


def _sorted(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.sort(values, axis=-1) if values.ndim else values for name, values in outputs.items()}


def run_with_hooks(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Calls:
    """Run a module; return copies of the tensors of every call by module name, index and port name."""
    names = {id(child): name for name, child in module.named_modules()}
    counts: Counter[str] = Counter()
    running: list[tuple[tuple[str, int], Tensors]] = []
    calls: Calls = {}

    def before(child: torch.nn.Module, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling():
            return
        name = names[id(child)]
        running.append(((name, counts[name]), _arguments(child, args, kwargs)))
        counts[name] += 1

    def after(child: torch.nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if torch.compiler.is_compiling():
            return
        key, given = running.pop()
        keyed = isinstance(result, Mapping) or dataclasses.is_dataclass(result)
        named = _tensors("" if keyed else "output", result)
        calls[key] = (given, {f"{n}.output" if n in given else n: t.clone() for n, t in named})

    with contextlib.ExitStack() as hooks:
        for child in module.modules():
            hooks.callback(child.register_forward_pre_hook(before, with_kwargs=True).remove)
            hook = child.register_forward_hook(after, with_kwargs=True, always_call=True)
            hooks.callback(hook.remove)
        with torch.no_grad(), quiet():
            module(*args, **kwargs)
    return calls


def _arguments(module: torch.nn.Module, args: Any, kwargs: Any) -> Tensors:
    signature = inspect.signature(module.forward)
    tensors: Tensors = {}
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        variable = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        for key, inner in value.items() if variable else [(name, value)]:
            tensors.update((path, tensor.clone()) for path, tensor in _tensors(key, inner))
    return tensors


def _tensors(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    def below(key: object) -> str:
        return f"{name}.{key}" if name else str(key)

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _tensors(below(key), inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _tensors(below(index), inner)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _tensors(below(field.name), getattr(value, field.name))


def _other_sizes(kwargs: Mapping[str, Any], axes: Mapping[str, Mapping[int, str]], fixed: list[str]) -> dict[str, Any]:
    """Return the inputs at a larger batch and length, where the axis is dynamic."""
    still = {axes[path][int(axis)] for path, axis in (name.rsplit(":", 1) for name in fixed)}

    def resized(path: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: resized(f"{path}.{key}", inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(resized(f"{path}.{index}", inner) for index, inner in enumerate(value))
        if isinstance(value, torch.Tensor):
            for axis, symbol in axes.get(path, {}).items():
                if symbol not in still:
                    size = value.shape[axis] + (1 if "batch" in symbol else 5)
                    value = value.index_select(axis, torch.arange(size) % value.shape[axis])
        return value

    return {name: resized(name, value) for name, value in kwargs.items()}


def array(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor as an array."""
    return tensor.detach().numpy()


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Keep warnings and log lines of the libraries out of the results."""
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
