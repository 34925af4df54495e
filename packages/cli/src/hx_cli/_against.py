"""The tensors that cross every module's boundary when the PyTorch model itself runs."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch.utils import _pytree as pytree

from hx_cli._compare import difference
from hx_cli._judge import UNKNOWN_INPUT, Verdict, verdict_of
from hx_cli._verify import first_line, to_numpy
from hx_extractor import Extraction, HierarchicalModel
from hx_sidecar_schema import HxError, Port
from hx_tracer import LoadedModel, example_inputs, input_ports, output_ports

CallKey = tuple[str, int]
Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass
class Boundary:
    """What one call got and gave, by port name."""

    inputs: Arrays = field(default_factory=dict[str, Any])
    outputs: Arrays = field(default_factory=dict[str, Any])


class TorchJudge:
    """Compares with the PyTorch module itself, on the tensors that it gets inside its model.

    Args:
        model: The exported model, which recorded its inputs.
        rows: The calls that will be compared.
        loaded: The PyTorch model; it runs once for all calls.
    """

    def __init__(self, model: HierarchicalModel, rows: Sequence[int], loaded: LoadedModel) -> None:
        calls = [model.sidecar.calls[row] for row in rows]
        wanted = {(model.sidecar.module_of(call).fqn, call.index) for call in calls}
        self._boundaries = run_module(loaded, model.example_inputs(), wanted)

    def __call__(self, extraction: Extraction) -> Verdict:
        boundary = self._boundaries.get((extraction.module.fqn, extraction.call.index))
        if boundary is None:
            return Verdict(match=False, reason="The PyTorch model did not make this call.")
        given = boundary.inputs
        if any(port.name not in given for port in extraction.inputs):  # implicit ones are no arguments
            try:
                given = {**extraction.example_inputs(), **given}
            except HxError as error:
                if error.code not in UNKNOWN_INPUT:
                    raise
                return Verdict(reason=f"Not compared: {error.message}")
        feeds = {port.name: _as_port(given[port.name], port) for port in extraction.inputs}
        actual = extraction.run(feeds)
        missing = [port.name for port in extraction.outputs if port.name not in boundary.outputs]
        if missing:
            return Verdict(match=False, reason=f"The PyTorch module gave no {missing}.")
        found = [difference(boundary.outputs[name], array) for name, array in actual.items()]
        absolute = max((one.max_abs_error for one in found), default=0.0)
        return verdict_of(extraction, absolute, max((one.relative_error for one in found), default=0.0))


def run_module(
    loaded: LoadedModel, arrays: Mapping[str, np.ndarray[Any, Any]], wanted: Collection[CallKey]
) -> dict[CallKey, Boundary]:
    """Run a model once and return what crossed the boundaries of some of its calls.

    Args:
        loaded: The model.
        arrays: Inputs under the names of the ONNX model.
        wanted: Fqn and index of the calls; the tensors of these are copied, at the moment they cross.

    Raises:
        HxError: HX407 if the inputs do not fit the model.
    """
    args, kwargs = _inputs(loaded, arrays)
    found: dict[CallKey, Boundary] = {}
    try:
        with torch.no_grad(), _watched(loaded.module, wanted, found):
            loaded.module(*args, **kwargs)
    except Exception as error:
        raise HxError(
            f"{type(loaded.module).__name__} does not run on the inputs {list(arrays)!r}: {first_line(error)}",
            code="HX407",
            hint="Give --against the model that the ONNX file was exported from, with the same --task and --dtype.",
        ) from error
    return found


@contextmanager
def _watched(
    model: torch.nn.Module, wanted: Collection[CallKey], found: dict[CallKey, Boundary]
) -> Generator[None]:
    """Watch below `__call__`: modules must not see it, as they do hooks (`nn.TransformerEncoder` then changes path)."""
    names: dict[int, str] = {}
    for name, module in model.named_modules():
        names.setdefault(id(module), name)
    counts: Counter[str] = Counter()
    module_class: Any = torch.nn.Module
    call_impl = module_class._call_impl
    fastpath = torch.backends.mha.get_fastpath_enabled()

    def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        fqn = names.get(id(module))
        if fqn is None:
            return call_impl(module, *args, **kwargs)
        key = (fqn, counts[fqn])
        counts[fqn] += 1
        if key not in wanted:
            return call_impl(module, *args, **kwargs)
        boundary = found[key] = Boundary()
        inputs = input_ports(module, args, kwargs)
        boundary.inputs = {name: to_numpy(tensor).copy() for name, tensor in inputs}
        result = call_impl(module, *args, **kwargs)
        outputs = output_ports(result, [name for name, _ in inputs])
        boundary.outputs = {name: to_numpy(tensor).copy() for name, tensor in outputs}
        return result

    module_class._call_impl = call
    torch.backends.mha.set_fastpath_enabled(
        False
    )  # its one kernel calls no modules; the exporter takes the slow path
    try:
        yield
    finally:
        module_class._call_impl = call_impl
        torch.backends.mha.set_fastpath_enabled(fastpath)


def _inputs(
    loaded: LoadedModel, arrays: Mapping[str, np.ndarray[Any, Any]]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Bring arrays under ONNX names to the module's arguments: by name, else in the nesting of its own example."""
    tensors = {name: _tensor(array) for name, array in arrays.items()}
    parameters = inspect.signature(loaded.module.forward).parameters.values()
    fixed = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = {p.name for p in fixed if p.default is p.empty}
    if required <= tensors.keys() <= {p.name for p in fixed}:
        return (), tensors
    example = example_inputs(loaded.module, example=loaded.example)
    leaves, tree = pytree.tree_flatten((example.args, example.kwargs))
    count = sum(isinstance(leaf, torch.Tensor) for leaf in leaves)
    if count != len(tensors):
        raise HxError(
            f"{type(loaded.module).__name__} takes {count} tensors, the ONNX model {list(arrays)!r}.",
            code="HX407",
            hint="Give --against the model that the ONNX file was exported from.",
        )
    values = iter(tensors.values())
    filled = [next(values) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
    args, kwargs = pytree.tree_unflatten(filled, tree)
    return args, kwargs


def _tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def _as_port(array: np.ndarray[Any, Any], port: Port) -> np.ndarray[Any, Any]:
    return array if port.dtype == "UNDEFINED" else array.astype(ir.DataType[port.dtype].numpy(), copy=False)
