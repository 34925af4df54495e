"""Operators that compute nothing, those that contract (sum products), and those without multiply-accumulates."""

from __future__ import annotations

import onnx_ir as ir

from hx_projector._categories import CATEGORIES


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MOVING_CATEGORIES = {"lookup/indexing", "tensor manipulation", "shape/metadata", "parameter/constants", "control flow"}
MOVING = frozenset().union(*(c.operators for c in CATEGORIES if c.name in _MOVING_CATEGORIES)) | {
    "Cast",
    "CastLike",
    "Dropout",
    "Where",
}
"""Operators of ONNX that move data: they compute nothing."""
CONTRACTING = _names(
    "MatMul Gemm Conv ConvTranspose DeformConv ConvInteger MatMulInteger QLinearMatMul QLinearConv "
    "Einsum LSTM GRU RNN Attention DFT STFT Det"
)
"""Operators of ONNX with multiply-accumulates."""
WITHOUT_MACS = frozenset().union(*(c.operators for c in CATEGORIES)) - CONTRACTING
"""Operators of ONNX without multiply-accumulates."""
MICROSOFT_WITHOUT_MACS = _names(
    "BiasDropout BiasGelu BiasSoftmax BiasSplitGelu DequantizeLinear DynamicQuantizeLinear FastGelu "
    "Gelu LayerNormalization QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool "
    "QLinearLeakyRelu QLinearMul QLinearSigmoid QLinearSoftmax QuantizeLinear QuickGelu ReorderInput "
    "ReorderOutput SimplifiedLayerNormalization SkipLayerNormalization "
    "SkipSimplifiedLayerNormalization"
)
"""Operators that ONNX Runtime 1.31 makes when it optimises, without multiply-accumulates."""


def operator_name(node: ir.Node) -> str:
    """Return an operator as messages name it: with its domain, where that is not ONNX's own."""
    return f"{node.domain}::{node.op_type}" if node.domain else node.op_type
