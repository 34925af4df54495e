"""The files of one case, as onnx's backend test runner and ONNX Runtime's `onnx_test_runner` load them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from hx_extractor import tolerance
from hx_graph import nodes_in, write_model
from hx_sidecar_schema import UnavailableValue

DATA = "test_data_set_0"


def write_case(
    folder: Path, model: ir.Model, inputs: Mapping[str, Any], outputs: Mapping[str, Any], *, npz: bool
) -> tuple[float, float]:
    """Write a model, its inputs, the outputs that it must give, and how far these may be off; return that, relative and absolute.

    `data.json` tells it to onnx's runner, `config.txt` to ONNX Runtime's. Every folder beside the model is a data set for the
    latter, so other files lie in none. Weights beyond 16 MiB are in `model.onnx.data`.
    """
    data = folder / DATA
    data.mkdir(parents=True)
    _keep_used_opsets(model)
    write_model(model, folder / "model.onnx")
    for kind, values, ports in (("input", inputs, model.graph.inputs), ("output", outputs, model.graph.outputs)):
        for place, port in enumerate(ports):
            name = str(port.name)
            (data / f"{kind}_{place}.pb").write_bytes(_proto(values[name], port.type, name).SerializeToString())
        if npz:
            np.savez(folder / f"{kind}s.npz", allow_pickle=False, **_arrays(values))
    rtol, atol = tolerances(list(outputs.values()))
    (folder / "data.json").write_text(json.dumps({"rtol": rtol, "atol": atol}) + "\n", encoding="utf-8")
    text = f"per_sample_tolerance:{atol}\nrelative_per_sample_tolerance:{rtol}\n"
    (folder / "config.txt").write_text(text, encoding="utf-8")
    return rtol, atol


def _keep_used_opsets(model: ir.Model) -> None:
    """Drop opset imports that no node uses: ONNX Runtime's backend (1.31) skips models with those of foreign domains."""
    used = {"", *(node.domain for _, node in nodes_in(model.graph))}
    for domain in model.opset_imports.keys() - used:
        del model.opset_imports[domain]


def complete(port: ir.Value, value: Any) -> None:
    """Give an input or output the type and the rank that its value has, where the model says none: ONNX's checker asks for both.

    Raises:
        HxError: HX206 if ONNX Runtime's Python API (1.31) does not hand such values over, so that runners in Python cannot judge them.
    """
    arrays = _entries(value)
    dtypes = [array.dtype for array in arrays] if port.dtype is None else [np.dtype(port.dtype.numpy())]
    foreign = [dtype.name for dtype in dtypes if dtype.kind == "V"]
    if foreign:
        message = f"ONNX Runtime's Python API takes and gives no {foreign[0]}, as of {port.name!r}: runners in Python cannot judge it."
        raise UnavailableValue(message, hint="Convert the model to float32.")
    if arrays and port.type is None:
        kind = ir.TensorType(
            ir.DataType.STRING if arrays[0].dtype.kind in "OSU" else ir.DataType.from_numpy(arrays[0].dtype)
        )
        port.type = ir.SequenceType(kind) if isinstance(value, list) else kind
    if arrays and port.shape is None and len({array.ndim for array in arrays}) == 1:
        port.shape = ir.Shape([None] * arrays[0].ndim)


def tolerances(outputs: Sequence[Any]) -> tuple[float, float]:
    """Return how far a number may be from what it should be: a part of it, and a part of its output's largest magnitude.

    The smallest of the latter counts for all outputs of a case: both runners know one for all. Integers alone are exact.
    """
    arrays = [array for value in outputs for array in _entries(value)]
    inexact = [array for array in arrays if array.dtype.kind not in "biuOSU"]
    if not inexact:
        return 0.0, 0.0
    rtol = tolerance(array.dtype for array in inexact)
    magnitudes = [float(np.max(np.abs(finite))) for array in inexact if (finite := _finite(array)).size]
    atol = rtol * min((magnitude for magnitude in magnitudes if magnitude), default=0.0)
    return rtol, max(float(f"{atol:.1e}"), 1e-7)


def _finite(array: Any) -> Any:
    wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    return wide[np.isfinite(wide)]


def _entries(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [np.asarray(value)]


def _proto(value: Any, kind: ir.TypeProtocol | None, name: str) -> Any:
    if isinstance(kind, ir.OptionalType):
        optional = onnx.OptionalProto(name=name)
        if value is None:
            return optional
        is_list = isinstance(value, list)
        optional.elem_type = onnx.OptionalProto.SEQUENCE if is_list else onnx.OptionalProto.TENSOR
        held = optional.sequence_value if is_list else optional.tensor_value
        held.CopyFrom(_proto(value, kind.elem_type, name))
        return optional
    if isinstance(value, list):
        tensors = [_tensor(entry, "") for entry in value]
        return onnx.SequenceProto(name=name, elem_type=onnx.SequenceProto.TENSOR, tensor_values=tensors)
    return _tensor(value, name)


def _tensor(value: Any, name: str) -> onnx.TensorProto:
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        texts = [text if isinstance(text, bytes) else str(text).encode() for text in array.reshape(-1)]
        return onnx.TensorProto(name=name, dims=array.shape, data_type=onnx.TensorProto.STRING, string_data=texts)
    return ir.to_proto(ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name))


def _arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays by name; entries of a sequence by name and place. What NumPy cannot store, as bfloat16, is left out."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        entries = _entries(value)
        names = [f"{name}.{place}" for place in range(len(entries))] if isinstance(value, list) else [name]
        found |= zip(names, entries, strict=False)
    texts = {name: array.astype(np.str_) for name, array in found.items() if array.dtype.kind == "O"}
    return {name: array for name, array in (found | texts).items() if array.dtype.kind in "biufcSU"}
