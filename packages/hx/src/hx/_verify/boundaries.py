"""The PyTorch model's side of a comparison: what crosses the boundaries of its calls, and beside it a call that was cut out."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import onnx_ir as ir
import torch

from hx._tensors import own_rounding, to_numpy
from hx._verify.inputs import Arrays, ModuleInputs, counterpart, recorded_inputs
from hx._verify.references import Verdict, refuse_drawing, verdict_of
from hx._verify.whole import added_outputs
from hx_extractor import Call, Difference, Extraction, Hierarchy, difference
from hx_graph import run_session
from hx_sidecar_schema import HxError, Module, ModuleCall, Port, Sidecar, UnavailableValue, first_line
from hx_tracer import CallValues, LoadedModel, record_call_values

Array = np.ndarray[Any, Any]
CallKey = tuple[str, int]
"""Fqn and index of a call."""
Kept = TypeVar("Kept")


def array_now(tensor: torch.Tensor) -> Array:
    """Return a tensor's numbers as they are now; the model may change the tensor later."""
    return to_numpy(tensor).copy()


class SizeAndPrecision(NamedTuple):
    """What is known of a tensor that was not kept: bytes of what `array_now` returns, and the epsilon of floats, else 0."""

    size_bytes: int
    epsilon: float

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Self:
        """Look at a tensor without keeping it."""
        element_bytes = 4 if tensor.dtype == torch.bfloat16 else tensor.element_size()
        epsilon = torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0
        return cls(tensor.numel() * element_bytes, epsilon)


def run_module(
    loaded: LoadedModel, inputs: ModuleInputs, wanted: Collection[CallKey], keep: Callable[[torch.Tensor], Kept]
) -> dict[CallKey, CallValues[Kept]]:
    """Run a model once and return what crossed the boundaries of some calls, as `keep` keeps it; HX407 if it does not run."""
    try:
        return record_call_values(loaded.module, inputs.args, inputs.kwargs, wanted, keep)
    except Exception as error:
        raise HxError(
            f"{type(loaded.module).__name__} does not run on the inputs {list(inputs.arrays)!r}: {first_line(error)}",
            code="HX407",
            hint="Compare with the model that the ONNX file was exported from, loaded with the same task and dtype.",
            argument="against",
        ) from error


UNPAIRED = "PyTorch calls this module more or less often than the exported model: which call is which is not known."


def pytorch_keys(sidecar: Sidecar) -> list[CallKey]:
    """Return the key that every call has among those that a run of PyTorch makes.

    A call in a compiled body is none of them, and has a key that no run makes. In a part, names begin below its module.
    """
    names = [_name_below(sidecar.modules[0], module) for module in sidecar.modules]
    made: Counter[str] = Counter()
    keys: list[CallKey] = []
    for call in sidecar.calls:
        fqn = names[call.module]
        keys.append((fqn, -1 if call.in_body else made[fqn]))
        made[fqn] += not call.in_body
    return keys


def end_keys(keys: Iterable[CallKey]) -> set[CallKey]:
    """Return the keys of the first and the last call of each module, and of the one after it: `unpaired_modules` asks for them."""
    return {key for fqn, count in _counts(keys).items() for key in ((fqn, 0), (fqn, count - 1), (fqn, count))}


def unpaired_modules(keys: Iterable[CallKey], made: Container[CallKey]) -> set[str]:
    """Return the modules that a run, which made some calls, calls more or less often than `keys` has it, but calls."""
    counts = _counts(keys).items()
    return {fqn for fqn, n in counts if (fqn, 0) in made and ((fqn, n) in made or (fqn, n - 1) not in made)}


def _counts(keys: Iterable[CallKey]) -> Counter[str]:
    return Counter(fqn for fqn, index in keys if index >= 0)


def _name_below(root: Module, module: Module) -> str:
    """Return a module's name in a part that was cut out of `root`."""
    starts = [f"{name}." for name in (root.fqn, *root.aliases)] if root.fqn else []
    for name in (module.fqn, *module.aliases):
        for start in starts:
            if f"{name}.".startswith(start):
                return f"{name}.".removeprefix(start).removesuffix(".")
    return module.fqn


def why_not_made(call: ModuleCall) -> str:
    """Say why a run of PyTorch lacks a call."""
    if call.in_body:
        return "It runs in the body of a control-flow operator, which PyTorch compiles: nothing can be seen there."
    return "The PyTorch model did not make this call."


class TorchReference:
    """The PyTorch modules, on the tensors that they get inside their model; it runs once, on the recorded inputs."""

    def __init__(self, model: Hierarchy, calls: Sequence[Call], loaded: LoadedModel) -> None:
        keys = pytorch_keys(model.sidecar)
        self._keys = {(call.fqn, call.index): keys[call.row] for call in calls}
        self._loaded = counterpart(loaded, model.sidecar)
        self._inputs = recorded_inputs(self._loaded, model.sidecar, model.example_inputs())
        names = {fqn for fqn, _ in self._keys.values()}
        of_modules = [key for key in keys if key[0] in names]
        wanted = {*self._keys.values(), *end_keys(of_modules)}
        self._boundaries = run_module(self._loaded, self._inputs, wanted, array_now)
        self._unpaired = unpaired_modules(of_modules, self._boundaries)
        self._model = model

    def __call__(self, extraction: Extraction) -> Verdict:
        """Compare an extracted model with its module."""
        key = self._keys[extraction.module.fqn, extraction.call.index]
        boundary = self._boundaries.get(key)
        if key[0] in self._unpaired and not extraction.call.in_body:
            return Verdict(reason=f"Not compared: {UNPAIRED}")
        if boundary is None:
            return Verdict(match=extraction.call.in_body, reason=why_not_made(extraction.call))
        crossed = [(port, boundary.inputs[port.name]) for port in extraction.inputs if port.name in boundary.inputs]
        inputs = {port.name: array.astype(_dtype(port, array), copy=False) for port, array in crossed}
        return replace(self._compared(extraction, key, boundary), inputs=inputs)

    def _compared(self, extraction: Extraction, key: CallKey, boundary: CallValues[Array]) -> Verdict:
        added = set[str]() if extraction.call.parent is not None else added_outputs(self._model, boundary.outputs)
        try:
            found = run_alone(extraction, boundary, lambda _: extraction.example_inputs(), added)
        except UnavailableValue as error:
            return Verdict(reason=f"Not compared: {error.message}")
        if missing := [port.name for port in extraction.outputs if port.name not in found and port.name not in added]:
            return Verdict(match=False, reason=f"The PyTorch module gave no {missing}.")
        absolute = max((one.max_abs_error for one in found.values()), default=0.0)
        relative = max((one.relative_error for one in found.values()), default=0.0)
        verdict = verdict_of(extraction, absolute, relative)
        if verdict.match or not math.isfinite(relative):
            return verdict
        rounding = own_rounding(self._loaded.module, self._inputs.args, self._inputs.kwargs, {key})[key]
        return verdict_of(extraction, absolute, relative, rounding=rounding)


def run_alone(
    extraction: Extraction,
    boundary: CallValues[Array],
    borrow: Callable[[Sequence[Port]], Mapping[str, Array]],
    added: Container[str] = (),
    options: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Difference]:
    """Return how far the outputs of a call are from the module's, by port.

    `boundary` is what the module got and gave. `borrow` is asked for the inputs that were no arguments of it: implicit ones.
    Outputs that were `added` the module does not return. `options` are those of the session.

    Raises:
        HxError: HX207 if ONNX Runtime refuses the model; else as `borrow` raises.
    """
    refuse_drawing(extraction)
    given: Arrays = dict(boundary.inputs)
    if missing := [port for port in extraction.inputs if port.name not in given]:
        given = {**borrow(missing), **given}
    outputs = [port for port in extraction.outputs if port.name in boundary.outputs]
    crossing = [(port, given[port.name]) for port in extraction.inputs]
    for port, array in (*crossing, *((port, boundary.outputs[port.name]) for port in outputs)):
        if _is_quantised(array.dtype, _dtype(port, array)):
            raise UnavailableValue(
                f"Its port {port.name!r} is quantised: {port.dtype} numbers stand for {array.dtype.name} ones.",
                hint="Look at the calls around it.",
            )
    feeds = {port.name: array.astype(_dtype(port, array), copy=False) for port, array in crossing}
    found = compare_ports(boundary.outputs, run_session(extraction.session(**options), feeds))
    return found | without_counterpart(extraction.call, boundary.outputs, added)


def without_counterpart(call: ModuleCall, returned: Collection[str], added: Container[str]) -> dict[str, Difference]:
    """Return infinite errors for outputs that only PyTorch or only the graph has, but for those that were `added` to it."""
    found: dict[str, Difference] = {}
    if call.constants is not None:  # its ports were seen in PyTorch
        ports = {port.name: port.unused for port in call.outputs}
        for name in ports.keys() ^ {*returned}:
            if not ports.get(name) and name not in added:
                where = "PyTorch's" if name in ports else "the graph's"
                reason = f"no counterpart: there is no {name!r} among {where} outputs"
                found[name] = Difference(math.inf, math.inf, math.inf, math.nan, -math.inf, reason=reason)
    return found


def compare_ports(expected: Mapping[str, Array], actual: Mapping[str, Array]) -> dict[str, Difference]:
    """Compare by port what both have; integers that stand for floats are not compared."""
    return {
        name: difference(expected[name], array)
        for name, array in actual.items()
        if name in expected and not _is_quantised(expected[name].dtype, array.dtype)
    }


def _is_quantised(of_torch: np.dtype[Any], of_onnx: np.dtype[Any]) -> bool:
    return of_torch.kind == "f" and of_onnx.kind in "iu"


def _dtype(port: Port, array: Array) -> np.dtype[Any]:
    return array.dtype if port.dtype == "UNDEFINED" else ir.DataType[port.dtype].numpy()
