"""What is known of operators: which compute nothing, which contract (sum products) and by what formula.

onnx-tool counts the operators that contract; `FORMULAS` are those that it does not count, or counts otherwise, from the
shapes of a node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import onnx_ir as ir

from hx_projector._categories import CATEGORIES
from hx_projector.cost.shapes import Shape


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MOVING_CATEGORIES = {"lookup/indexing", "tensor manipulation", "shape/metadata", "parameter/constants", "control flow"}
MOVING = _names("Cast CastLike Dropout Where").union(*(c.operators for c in CATEGORIES if c.name in _MOVING_CATEGORIES))
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


Shapes = Sequence[Shape | None]
"""Of the inputs or outputs of a node; None where a shape is unknown, or an input is left out."""


class UnknownShape(Exception):
    """A shape that a formula needs is not known."""


def needed(shapes: Shapes, position: int) -> Shape:
    """Return the shape at a position.

    Raises:
        UnknownShape: If it is unknown.
    """
    found = shapes[position] if position < len(shapes) else None
    if found is None:
        raise UnknownShape("sizes unknown")
    return found


def _transposed(node: ir.Node, inputs: Shapes, outputs: Shapes) -> int:
    """Each input element meets the kernel of its group once: elements of x times (Cout / group) x kernel."""
    return math.prod(needed(inputs, 0)) * math.prod(needed(inputs, 1)[1:])


def _deformed(node: ir.Node, inputs: Shapes, outputs: Shapes) -> int:
    """A convolution at other places; their interpolation is not counted."""
    return math.prod(needed(outputs, 0)) * math.prod(needed(inputs, 1)[1:])


def _recurrent(node: ir.Node, inputs: Shapes, outputs: Shapes) -> int:
    """All of W and R once for each step of each sequence."""
    weights = sum(math.prod(needed(inputs, position)) for position in (1, 2))
    return weights * math.prod(needed(inputs, 0)[:2])


def _einsum(node: ir.Node, inputs: Shapes, outputs: Shapes) -> int:
    """The product of all labels' sizes: what one loop over all of them does, however many operands."""
    terms = node.attributes["equation"].as_string().replace(" ", "").partition("->")[0].split(",")
    labels: dict[object, int] = {}
    for position, term in enumerate(terms):
        sizes = needed(inputs, position)
        before, dots, after = term.partition("...")
        names: list[object] = list(before)
        hidden = len(sizes) - len(before) - len(after)
        names += range(-hidden, 0) if dots else ()  # counted from the right, as broadcasting does
        for name, size in zip([*names, *after], sizes, strict=True):
            labels[name] = max(labels.get(name, 1), size)
    return math.prod(labels.values())


def _matmul_transposed(node: ir.Node, inputs: Shapes, outputs: Shapes) -> int:
    left = needed(inputs, 0)
    flag = node.attributes.get("transA")
    return math.prod(needed(outputs, 0)) * left[-2 if flag is not None and flag.as_int() else -1]


def _matmul_packed(node: ir.Node, inputs: Shapes, outputs: Shapes) -> int:
    return math.prod(needed(outputs, 0)) * node.attributes["K"].as_int()


FORMULAS: dict[tuple[str, str], Callable[[ir.Node, Shapes, Shapes], int]] = {
    ("", "ConvTranspose"): _transposed,
    ("", "DeformConv"): _deformed,
    ("", "Einsum"): _einsum,
    ("", "LSTM"): _recurrent,
    ("", "GRU"): _recurrent,
    ("", "RNN"): _recurrent,
    ("com.microsoft", "FusedMatMul"): _matmul_transposed,
    ("com.microsoft", "MatMulNBits"): _matmul_packed,
}
"""By domain and operator: from a node and the shapes of its inputs and outputs."""
