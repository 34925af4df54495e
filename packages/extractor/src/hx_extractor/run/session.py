"""Running models in ONNX Runtime, with weights mapped from the files they are in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from hx_sidecar_schema import HxError

PROTOBUF_BYTES = 1_000_000_000
"""From here on weights are handed over beside the model: a protobuf message ends at 2 GB."""
INLINE_BYTES = 1 << 20
"""Weights below this size stay in the message: ONNX Runtime must read shapes and other constants there."""


def make_session(model: ir.Model, folder: Path | None, **options: Any) -> Any:
    """Return an `onnxruntime.InferenceSession` without graph optimisation.

    Args:
        model: Not changed. Weights in memory may be of any size.
        folder: Where its external weights lie, which ONNX Runtime then maps; None to read them from where they
            say that they lie.
        options: Attributes of `SessionOptions` that replace the defaults, and `providers`.

    Raises:
        HxError: HX209 if onnxruntime is not installed, HX207 if it refuses the model.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise HxError(
            "onnxruntime is not installed.",
            code="HX209",
            hint="Install it: `pip install hx-extractor[ort]`.",
        ) from error
    providers = options.pop("providers", ["CPUExecutionProvider"])
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 3
    if folder is not None:
        settings.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(folder.resolve())
        )
    for name, value in options.items():
        setattr(settings, name, value)
    try:
        beside = _weights_beside(model, mapped=folder is not None)
        content = _serialized(model, beside, mapped=folder is not None)
        arrays = [_ort_value(tensor.numpy()) for tensor in beside.values()]
        settings.add_external_initializers(list(beside), arrays)  # copied when the session is made
        return ort.InferenceSession(content, settings, providers=providers)
    except Exception as error:
        raise HxError(
            f"ONNX Runtime refuses the model: {_first_line(error)}",
            code="HX207",
            hint="Report this with the model's name and options: an extracted model must load.",
        ) from error


def _weights_beside(model: ir.Model, *, mapped: bool) -> dict[str, ir.TensorProtocol]:
    """Return the weights that a model's bytes cannot hold.

    Args:
        model: To be serialised.
        mapped: Whether external weights stay in their files.
    """
    weights = {
        name: tensor
        for name, value in model.graph.initializers.items()
        if (tensor := value.const_value) is not None
        and not (mapped and isinstance(tensor, ir.ExternalTensor))
    }
    if sum(tensor.nbytes for tensor in weights.values()) < PROTOBUF_BYTES:
        return {}
    return {name: tensor for name, tensor in weights.items() if tensor.nbytes >= INLINE_BYTES}


def _serialized(model: ir.Model, beside: Mapping[str, ir.TensorProtocol], *, mapped: bool) -> bytes:
    """Return a model's bytes.

    Args:
        model: Not changed.
        beside: Weights that the bytes only announce: they are handed over apart.
        mapped: Whether external weights stay in their files.
    """
    kept = {name: value.const_value for name, value in model.graph.initializers.items()}
    try:
        for name, tensor in kept.items():
            if name in beside and tensor is not None:
                announced = ir.ExternalTensor(
                    "memory",
                    0,
                    tensor.nbytes,
                    tensor.dtype,
                    shape=ir.Shape(tensor.shape.numpy()),
                    name=name,
                    base_dir="",
                )
                model.graph.initializers[name].const_value = announced
            elif isinstance(tensor, ir.ExternalTensor) and not mapped:
                model.graph.initializers[name].const_value = ir.Tensor(tensor.numpy(), name=name)
        return ir.serde.serialize_model(model).SerializeToString()
    finally:
        for name, tensor in kept.items():
            model.graph.initializers[name].const_value = tensor


def _ort_value(array: NDArray[Any]) -> Any:
    """Return an `onnxruntime.OrtValue`, of bfloat16 too."""
    import ml_dtypes
    import onnxruntime as ort

    array = np.ascontiguousarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(
            array.view(np.uint16), int(ir.DataType.BFLOAT16)
        )
    return ort.OrtValue.ortvalue_from_numpy(array)


def run_session(session: Any, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run a session; outputs by name.

    Raises:
        HxError: HX207 if an input is missing, unknown or does not fit.
    """
    names = [info.name for info in session.get_inputs()]
    if set(names) != set(feeds):
        raise HxError(
            f"The inputs are {sorted(feeds)}, the model takes {names}.",
            code="HX207",
            hint="Give an array for every input, by name.",
        )
    outputs = [info.name for info in session.get_outputs()]
    types = {info.name: info.type for info in session.get_inputs()}
    if any("bfloat16" in kind or "float8" in kind for kind in types.values()) or any(
        "bfloat16" in info.type for info in session.get_outputs()
    ):
        return _run_ort_values(session, names, outputs, feeds)
    try:
        results = session.run(outputs, {name: np.ascontiguousarray(feeds[name]) for name in names})
    except Exception as error:
        raise _refused(error) from error
    return dict(zip(outputs, results, strict=True))


def run_model(
    model: ir.Model, folder: Path | None, feeds: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Run a model once."""
    return run_session(make_session(model, folder), feeds)


def _run_ort_values(
    session: Any, names: list[str], outputs: list[str], feeds: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Run with element types that NumPy has no name for; arrays of ml_dtypes carry them."""
    values = {name: _ort_value(feeds[name]) for name in names}
    try:  # onnxruntime 1.31 takes bfloat16 but cannot hand it back
        results = session.run_with_ort_values(outputs, values)
        return {name: result.numpy() for name, result in zip(outputs, results, strict=True)}
    except Exception as error:
        raise _refused(error) from error


def _refused(error: Exception) -> HxError:
    return HxError(
        f"ONNX Runtime could not run the model: {_first_line(error)}",
        code="HX207",
        hint="Check dtypes and shapes of the inputs against the model's.",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
