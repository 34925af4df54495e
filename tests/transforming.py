"""What people do to an exported model before it runs: each a function from a file to a file.

for name, transform in TRANSFORMATIONS.items(): transform(source, target, feeds)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

Feeds = Mapping[str, np.ndarray]
Transformation = Callable[[Path, Path, Feeds], None]


def _runtime(level: str) -> Transformation:
    def transform(source: Path, target: Path, feeds: Feeds) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{level}")
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 4
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])

    return transform


def _transformer_optimizer(source: Path, target: Path, feeds: Feeds) -> None:
    from onnxruntime.transformers.optimizer import optimize_model

    optimize_model(str(source), model_type="bert", num_heads=0, hidden_size=0, opt_level=0).save_model_to_file(
        str(target)
    )


def _dynamic_quantisation(source: Path, target: Path, feeds: Feeds) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(source, target)


def _static_quantisation(bits: int) -> Transformation:
    def transform(source: Path, target: Path, feeds: Feeds) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class Reader(CalibrationDataReader):
            def __init__(self) -> None:
                self._left: list[dict[str, Any]] = [dict(feeds)]

            def get_next(self) -> dict[str, Any] | None:
                return self._left.pop() if self._left else None

        kinds = (QuantType.QUInt8, QuantType.QInt8) if bits == 8 else (QuantType.QUInt16, QuantType.QInt16)
        quantize_static(
            source, target, Reader(), quant_format=QuantFormat.QDQ, activation_type=kinds[0], weight_type=kinds[1]
        )

    return transform


def _half(source: Path, target: Path, feeds: Feeds) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def _slim(source: Path, target: Path, feeds: Feeds) -> None:
    import onnxslim

    onnx.save(onnxslim.slim(str(source)), target)


def _simplify(source: Path, target: Path, feeds: Feeds) -> None:
    import onnxsim

    simplified, _ = onnxsim.simplify(str(source))
    onnx.save(simplified, target)


def _script_optimizer(source: Path, target: Path, feeds: Feeds) -> None:
    import onnx_ir as ir
    import onnxscript.optimizer

    model = ir.load(source)
    onnxscript.optimizer.optimize(model)
    ir.save(model, target)


def _version(source: Path, target: Path, feeds: Feeds) -> None:
    import onnx_ir as ir
    from onnxscript import version_converter

    model = ir.load(source)
    version_converter.convert_version(model, target_version=21, fallback=True)
    ir.save(model, target)


def _then(first: Transformation, second: Transformation) -> Transformation:
    def transform(source: Path, target: Path, feeds: Feeds) -> None:
        between = target.with_name(f"between_{target.name}")
        first(source, between, feeds)
        second(between, target, feeds)

    return transform


TRANSFORMATIONS: dict[str, Transformation] = {
    "ORT basic": _runtime("ENABLE_BASIC"),
    "ORT extended": _runtime("ENABLE_EXTENDED"),
    "ORT all": _runtime("ENABLE_ALL"),
    "transformer optimizer": _transformer_optimizer,
    "dynamic quantisation": _dynamic_quantisation,
    "static quantisation": _static_quantisation(8),
    "static quantisation, 16 bit": _static_quantisation(16),
    "float16": _half,
    "float16, then ORT all": _then(_half, _runtime("ENABLE_ALL")),
    "static quantisation, then ORT all": _then(_static_quantisation(8), _runtime("ENABLE_ALL")),
    "dynamic quantisation, then ORT all": _then(_dynamic_quantisation, _runtime("ENABLE_ALL")),
    "onnxslim": _slim,
    "onnxsim": _simplify,
    "onnxscript optimizer": _script_optimizer,
    "version conversion": _version,
}
