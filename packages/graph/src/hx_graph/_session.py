"""ONNX Runtime sessions: making them from files, bytes and models in memory, and running them."""

from __future__ import annotations

import ctypes
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from hx_graph._data_file import is_unwritten, lacks_weights
from hx_graph._weights import TensorSlot, in_memory, replaced_tensors
from hx_sidecar_schema import HxError, MissingKernel, RuntimeRefusal

PROTOBUF_BYTES = 1_000_000_000
"""From here on weights are handed over beside the model: a protobuf message ends at 2 GB."""
INLINE_BYTES = 1 << 20
"""Weights below this size stay in the message: ONNX Runtime must read shapes and other constants there."""
_NOISE = {
    r"^(\[ONNXRuntimeError\] : \d+ : \w+ : )*(Load model from .*? failed:)?": "",
    r"Non-zero status code returned while running (\S+) node\. Name:('.*?') Status Message: ": r"\1 \2: ",
    r"^(\S+) '': ": r"\1: ",
    r"\S+\.(?:h|cc):\d+ (?:.* was false\. (?=\S)|[^()]*\([^()]*\)(?:::<lambda\([^()]*\)>)? (?:const )?|[\w:]+ )": "",
}
"""What ONNX Runtime 1.31 says beside the reason, and what stays of it: places in its own source above all."""
NO_PREPACKING = "session.disable_prepacking"
WEIGHTS_IN_FILES: Mapping[str, Any] = {
    "entries": {NO_PREPACKING: "1"},
    "enable_mem_pattern": False,
    "enable_cpu_mem_arena": False,
}
"""Options of a session that copies no weight that lies in a file, and reserves no memory as large as all of them, as
onnxruntime 1.31 does with memory patterns. Kernels that copy weights into an order of their own sum in another order: what
is computed differs in the last bits."""
_FOLDER = "session.model_external_initializers_file_folder_path"


def import_runtime() -> Any:
    """Return the module `onnxruntime`.

    Raises:
        HxError: HX209 if it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        hint = "Install it: `pip install onnxruntime`."
        raise HxError("onnxruntime is not installed.", code="HX209", hint=hint) from error
    return onnxruntime


def open_session(
    source: Path | bytes,
    *,
    providers: Sequence[str] = ("CPUExecutionProvider",),
    entries: Mapping[str, str] | None = None,
    weights: Mapping[str, NDArray[Any]] | None = None,
    **options: Any,
) -> Any:
    """Return an `onnxruntime.InferenceSession`, without graph optimisation and without its own log unless asked.

    Args:
        source: The file, or its bytes.
        providers: Execution providers.
        entries: Keys and values for `SessionOptions.add_session_config_entry`.
        weights: Initializers that `source` has as external data; copied.
        options: Attributes of `SessionOptions` that replace the defaults.

    Raises:
        HxError: HX209 if onnxruntime is not installed.
        MissingKernel: If it has no kernel for an operator on these types.
        Exception: What ONNX Runtime raises if it refuses the model; its exceptions share no base class.
    """
    ort = import_runtime()
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 4  # what fails is raised too
    for name, value in options.items():
        setattr(settings, name, value)
    for name, value in (entries or {}).items():
        settings.add_session_config_entry(name, value)
    if weights:
        settings.add_external_initializers(list(weights), [_ort_value(array) for array in weights.values()])
    model = str(source) if isinstance(source, Path) else source
    try:
        return ort.InferenceSession(model, settings, providers=list(providers))
    except Exception as error:
        if type(error).__name__ != "NotImplemented":  # a class of no public module
            raise
        raise MissingKernel(
            f"ONNX Runtime has no kernel for it: {refusal_of(error)}.",
            hint="Convert it to float32, or run it with an execution provider that has one.",
            argument="provider",
        ) from error


def make_session(
    model: ir.Model, folder: Path | None, *, entries: Mapping[str, str] | None = None, **options: Any
) -> Any:
    """Return an `onnxruntime.InferenceSession` of a model in memory, without graph optimisation.

    Where a model `lacks_weights`, those that nobody wrote are inputs of the session: it shows whether the graph loads.

    Args:
        model: Not changed. Weights in memory may be of any size.
        folder: Where its external weights lie, which ONNX Runtime then maps; None to read them from where they
            say that they lie.
        entries: Keys and values for `SessionOptions.add_session_config_entry`.
        options: Attributes of `SessionOptions` that replace the defaults, and `providers`.

    Raises:
        HxError: HX209 if onnxruntime is not installed, HX207 if it refuses the model.
    """
    mapped = folder is not None
    settings = {_FOLDER: str(folder.resolve())} if folder else {}
    beside = _weights_beside(model, mapped=mapped)
    used = {name for name, value in model.graph.initializers.items() if value.uses() or value.is_graph_output()}
    try:
        return open_session(
            _serialized(model, beside, mapped=mapped),
            entries={**settings, **(entries or {})},
            # onnxruntime 1.31 does not know of unused ones any more
            weights={name: tensor.numpy() for name, tensor in beside.items() if name in used},
            **options,
        )
    except HxError:
        raise
    except Exception as error:
        raise RuntimeRefusal(
            f"ONNX Runtime refuses the model: {refusal_of(error)}.",
            hint="Load the whole file in ONNX Runtime: if that is refused too, the exporter made it so; export it with another "
            "strategy or opset. Else report it: a part of a model that loads must load.",
        ) from error


def refusal_of(error: Exception) -> str:
    """Return what ONNX Runtime says is wrong, in one line: the node and the reason, without its own codes and paths."""
    text = " ".join(str(error).split())
    for pattern, kept in _NOISE.items():
        text = re.sub(pattern, kept, text)
    return text[:300].rstrip(".") or type(error).__name__


def run_session(session: Any, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run an `onnxruntime.InferenceSession`; return its outputs by name, of sequences lists of arrays.

    Args:
        session: The session.
        feeds: An array for every input, by name; for a sequence a list of arrays.

    Raises:
        HxError: HX207 if an input is missing, unknown or does not fit.
    """
    types = {info.name: info.type for info in session.get_inputs()}
    if types.keys() != feeds.keys():
        hint = "Give an array for every input, by name."
        raise HxError(f"The inputs are {sorted(feeds)}, the model takes {list(types)}.", code="HX207", hint=hint)
    outputs = {info.name: info.type for info in session.get_outputs()}
    try:
        kinds = " ".join((*types.values(), *outputs.values()))
        if "bfloat16" in kinds or any("float8" in kind for kind in types.values()):
            # arrays of ml_dtypes carry them
            values = {name: _ort_value(feeds[name], kind) for name, kind in types.items()}
            results = [_array(value) for value in session.run_with_ort_values(list(outputs), values)]
        else:
            results = session.run(list(outputs), {name: _contiguous(feeds[name]) for name in types})
    except Exception as error:
        raise RuntimeRefusal(
            f"ONNX Runtime could not run the model: {refusal_of(error)}.",
            hint="Check dtypes and shapes of the inputs against the model's; if they are those of the export, the graph is at "
            "fault: export it with another strategy or opset.",
        ) from error
    return dict(zip(outputs, results, strict=True))


def _weights_beside(model: ir.Model, *, mapped: bool) -> dict[str, ir.TensorProtocol]:
    """Return the weights that a model's bytes cannot hold; where they are `mapped`, external ones stay in their files."""
    weights = {
        name: tensor
        for name, value in model.graph.initializers.items()
        if (tensor := value.const_value) is not None and not (mapped and isinstance(tensor, ir.ExternalTensor))
    }
    if sum(tensor.nbytes for tensor in weights.values()) < PROTOBUF_BYTES:
        return {}
    return {name: tensor for name, tensor in weights.items() if tensor.nbytes >= INLINE_BYTES}


def _serialized(model: ir.Model, beside: Mapping[str, ir.TensorProtocol], *, mapped: bool) -> bytes:
    """Return a model's bytes, which only announce the weights that lie beside them."""

    def inside(slot: TensorSlot) -> ir.TensorProtocol | None:
        if slot.name in beside and slot.tensor is beside[slot.name]:
            tensor, shape = slot.tensor, ir.Shape(slot.tensor.shape.numpy())
            return ir.ExternalTensor("memory", 0, tensor.nbytes, tensor.dtype, shape=shape, name=slot.name, base_dir="")
        value = model.graph.initializers.get(slot.name)
        is_mapped = mapped and value is not None and value.const_value is slot.tensor
        return None if is_mapped else in_memory(slot)

    with replaced_tensors(model, inside):
        proto = ir.serde.serialize_model(model)
    if lacks_weights(model):
        _unwritten_as_inputs(proto.graph, model)
    return proto.SerializeToString()


def _unwritten_as_inputs(graph: onnx.GraphProto, model: ir.Model) -> None:
    """Make inputs of weights that nobody wrote: ONNX Runtime 1.31 reserves memory for all weights of a model at once."""
    known = {value.name for value in graph.input}
    for position in reversed(range(len(graph.initializer))):
        weight = graph.initializer[position]
        if is_unwritten(model.graph.initializers[weight.name].const_value):
            if weight.name not in known:
                graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
            del graph.initializer[position]


def _ort_value(array: NDArray[Any], kind: str = "") -> Any:
    """Return an `onnxruntime.OrtValue` of a kind as `tensor(float8e5m2)`, or of the array's own type: bfloat16 and float8 too.

    onnxruntime 1.31 hands out float8 as plain bytes.
    """
    import onnxruntime as ort

    array = _contiguous(array)
    name = kind.removeprefix("tensor(").removesuffix(")").upper() or ir.DataType.from_numpy(array.dtype).name
    if name == "BFLOAT16" or name.startswith("FLOAT8"):
        plain = array.view(f"u{array.dtype.itemsize}")
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(plain, int(ir.DataType[name]))
    return ort.OrtValue.ortvalue_from_numpy(array)


def _array(value: Any) -> Any:
    """Return what an `onnxruntime.OrtValue` holds; `numpy()` of onnxruntime 1.31 does not know bfloat16."""
    if value.data_type() != "tensor(bfloat16)":
        return value.numpy()
    dtype, shape = ir.DataType.BFLOAT16.numpy(), value.shape()
    held = ctypes.string_at(value.data_ptr(), math.prod(shape) * dtype.itemsize)
    return np.frombuffer(held, dtype).reshape(shape).copy()


def return_freed_memory() -> None:
    """Return to the system what was freed and glibc keeps for later: of a session 3 KB a node, which Python's objects do not use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _contiguous(array: Any) -> Any:
    """Return an array in C order, of the same rank: `np.ascontiguousarray` gives numbers one dimension. Of sequences a list."""
    return [_contiguous(entry) for entry in array] if isinstance(array, list) else np.asarray(array, order="C")
