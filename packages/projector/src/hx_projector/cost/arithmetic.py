"""The arithmetic of single nodes, by onnx-tool and by formulas. The only file that imports onnx-tool.

What onnx-tool 1.0.1 does, as measured, and what is done about it:

* Its shape inference stops at the first operator that it does not know (of five small transformers, at `IsNaN` in four),
  and then nothing is profiled. Its graphs are keyed by node names, which need not be unique; reading weights stored
  outside the file fails; building a graph takes time quadratic in its nodes and values. So every node becomes a graph of
  its own, with shapes that are known already and without weights; inputs of one shape are one value there. Equal nodes are
  asked about once.
* What it calls MACs are x86 instructions: 1 for each multiply-accumulate, but 32 for an exponential, 24 for a root.
  Here `macs` are the multiply-accumulates of operators that contract; the rest of its count is `other`.
* It adds one for each element of a bias. Operators are asked about without it, and integer and fused ones as the plain
  operator that they contain.
* Its ConvTranspose counts output elements where each input element meets the kernel, its recurrent operators mix gates in,
  its Einsum takes two operands without an ellipsis. These have formulas.
* Of an operator that it does not know it says 0. Here, that is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import onnx
import onnx_ir as ir

from hx_projector._categories import CATEGORIES
from hx_projector.cost.shapes import Shape
from hx_sidecar_schema import HxError


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MOVING_CATEGORIES = {"lookup/indexing", "tensor manipulation", "shape/metadata", "parameter/constants", "control flow"}
MOVING = _names("Cast CastLike Dropout Where").union(*(c.operators for c in CATEGORIES if c.name in _MOVING_CATEGORIES))
"""Operators of ONNX that move data: they compute nothing."""
CONTRACTING = _names(
    "MatMul Gemm Conv ConvTranspose DeformConv ConvInteger MatMulInteger QLinearMatMul QLinearConv Einsum LSTM GRU RNN "
    "Attention DFT STFT Det"
)
"""Operators of ONNX with multiply-accumulates."""
WITHOUT_MACS = frozenset().union(*(c.operators for c in CATEGORIES)) - CONTRACTING
"""Operators of ONNX without multiply-accumulates."""
MICROSOFT_WITHOUT_MACS = _names(
    "BiasDropout BiasGelu BiasSoftmax BiasSplitGelu DequantizeLinear DynamicQuantizeLinear FastGelu Gelu "
    "LayerNormalization QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu "
    "QLinearMul QLinearSigmoid QLinearSoftmax QuantizeLinear QuickGelu ReorderInput ReorderOutput "
    "SimplifiedLayerNormalization SkipLayerNormalization SkipSimplifiedLayerNormalization"
)
"""Operators that ONNX Runtime 1.31 makes when it optimises, without multiply-accumulates."""


def operator_name(node: ir.Node) -> str:
    """Return an operator as messages name it: with its domain, where that is not ONNX's own."""
    return f"{node.domain}::{node.op_type}" if node.domain else node.op_type


_PLAIN = frozenset((ir.AttributeType.INT, ir.AttributeType.INTS, ir.AttributeType.STRING, ir.AttributeType.STRINGS))
_FLOATS = frozenset((ir.AttributeType.FLOAT, ir.AttributeType.FLOATS))

Shapes = Sequence[Shape | None]
"""Of the inputs or outputs of a node; None where a shape is unknown, or an input is left out."""


class _UnknownShape(Exception):
    """A shape that a formula needs is not known."""


def _needed(shapes: Shapes, position: int) -> Shape:
    found = shapes[position] if position < len(shapes) else None
    if found is None:
        raise _UnknownShape("sizes unknown")
    return found


def _einsum(node: ir.Node, inputs: Shapes, outputs: Shapes) -> int:
    """The product of all labels' sizes: what one loop over all of them does, however many operands."""
    terms = node.attributes["equation"].as_string().replace(" ", "").partition("->")[0].split(",")
    labels: dict[object, int] = {}
    for position, term in enumerate(terms):
        sizes = _needed(inputs, position)
        before, dots, after = term.partition("...")
        names: list[object] = list(before)
        hidden = len(sizes) - len(before) - len(after)
        names += range(-hidden, 0) if dots else ()  # counted from the right, as broadcasting does
        for name, size in zip([*names, *after], sizes, strict=True):
            labels[name] = max(labels.get(name, 1), size)
    return math.prod(labels.values())


def _recurrent(node: ir.Node, inputs: Shapes, outputs: Shapes) -> int:
    """All of W and R once for each step of each sequence."""
    weights = sum(math.prod(_needed(inputs, position)) for position in (1, 2))
    return weights * math.prod(_needed(inputs, 0)[:2])


FORMULAS: dict[tuple[str, str], Callable[[ir.Node, Shapes, Shapes], int]] = {
    # Each input element meets the kernel of its group once: elements of x times (Cout / group) x kernel.
    ("", "ConvTranspose"): lambda node, x, y: math.prod(_needed(x, 0)) * math.prod(_needed(x, 1)[1:]),
    # A convolution at other places; their interpolation is not counted.
    ("", "DeformConv"): lambda node, x, y: math.prod(_needed(y, 0)) * math.prod(_needed(x, 1)[1:]),
    ("", "Einsum"): _einsum,
    ("", "LSTM"): _recurrent,
    ("", "GRU"): _recurrent,
    ("", "RNN"): _recurrent,
    ("com.microsoft", "FusedMatMul"): lambda node, x, y: (
        math.prod(_needed(y, 0)) * _needed(x, 0)[-2 if node.attributes.get_int("transA", 0) else -1]
    ),
    ("com.microsoft", "MatMulNBits"): lambda node, x, y: math.prod(_needed(y, 0)) * node.attributes["K"].as_int(),
}
"""By domain and operator: from a node and the shapes of its inputs and outputs."""


_CONTRACTIONS = {
    ("", "MatMul"): ("MatMul", 0, 1),
    ("", "Gemm"): ("Gemm", 0, 1),
    ("", "Conv"): ("Conv", 0, 1),
    ("", "ConvInteger"): ("Conv", 0, 1),
    ("", "MatMulInteger"): ("MatMul", 0, 1),
    ("", "QLinearConv"): ("Conv", 0, 3),
    ("", "QLinearMatMul"): ("MatMul", 0, 3),
    ("com.microsoft", "DynamicQuantizeMatMul"): ("MatMul", 0, 1),
    ("com.microsoft", "FusedConv"): ("Conv", 0, 1),
    ("com.microsoft", "FusedGemm"): ("Gemm", 0, 1),
    ("com.microsoft", "MatMulIntegerToFloat"): ("MatMul", 0, 1),
    ("com.microsoft.nchwc", "Conv"): ("Conv", 0, 1),
}
"""By domain and operator: the operator of onnx-tool that contracts the same, and the positions of what is contracted."""


class Arithmetic(NamedTuple):
    """What a node, or several, compute."""

    macs: int = 0
    """Multiply-accumulates of matrix products, convolutions and their like."""
    other: int = 0
    """onnx-tool's count of the other arithmetic, in instructions of a processor."""
    unknown: tuple[tuple[str, str], ...] = ()
    """Operators whose `macs` are not known, each with the reason, in no count."""
    uncounted: tuple[str, ...] = ()
    """Operators whose other arithmetic is in no count."""

    @classmethod
    def unknown_of(cls, node: ir.Node, reason: str) -> Arithmetic:
        """Return what is known of a node whose multiply-accumulates are not."""
        return cls(unknown=((operator_name(node), reason),))


class OnnxTool:
    """Counts of onnx-tool, asked for once for nodes that are alike."""

    def __init__(self) -> None:
        """Import onnx-tool; HX213 is raised if it is not installed."""
        try:
            import onnx_tool
            from onnx_tool.node import FusedBase, Node
        except ImportError as error:
            raise HxError(
                "onnx-tool is not installed.", code="HX213", hint="Install it: `pip install onnx-tool`."
            ) from error
        self._tool: Any = onnx_tool
        self._not_counted = (Node.profile, FusedBase.profile)
        self._counted: dict[object, Arithmetic | None] = {}

    def arithmetic(self, node: ir.Node, inputs: Shapes, outputs: Shapes) -> Arithmetic | None:
        """Return what a node computes, without its bodies; None where neither onnx-tool nor a formula knows the operator."""
        if not node.domain and node.op_type in MOVING:
            return Arithmetic()
        key = (node.op_identifier(), tuple(inputs), tuple(outputs), _attributes(node))
        if key not in self._counted:
            self._counted[key] = self._contraction(node, inputs, outputs)
        return self._counted[key]

    def _contraction(self, node: ir.Node, inputs: Shapes, outputs: Shapes) -> Arithmetic | None:
        key = (node.domain, node.op_type)
        formula = FORMULAS.get(key)
        if formula is None and key not in _CONTRACTIONS:
            return self._other(node, inputs, outputs)
        try:
            if formula is not None:
                return Arithmetic(formula(node, inputs, outputs))
            name, *operands = _CONTRACTIONS[key]
            left, right = (_needed(inputs, int(position)) for position in operands)
            right = (*right, 1) if len(right) == 1 else right  # onnx-tool counts no products with a vector
            return Arithmetic(self._ask(node, str(name), [left, right], [(math.prod(_needed(outputs, 0)),)]))
        except _UnknownShape as error:
            return Arithmetic.unknown_of(node, str(error))
        except Exception as error:  # noqa: BLE001 whatever onnx-tool raises: reported, with the operator
            return Arithmetic.unknown_of(node, f"onnx-tool: {error!r}")

    def _other(self, node: ir.Node, inputs: Shapes, outputs: Shapes) -> Arithmetic | None:
        """The arithmetic of an operator without multiply-accumulates."""
        if node.domain == "com.microsoft" and node.op_type in MICROSOFT_WITHOUT_MACS:
            return Arithmetic(uncounted=(operator_name(node),))
        if node.domain or node.op_type in CONTRACTING:
            return None
        kind = self._tool.NODE_REGISTRY.get(f"{node.op_type}Node")
        if kind is None or kind.profile in self._not_counted:
            return None
        try:
            shapes = [_needed(inputs, i) if node.inputs[i] is not None else () for i in range(len(inputs))]
            return Arithmetic(other=self._ask(node, node.op_type, shapes, [_needed(outputs, 0)]))
        except Exception:  # noqa: BLE001 whatever onnx-tool raises: reported, with the operator
            return Arithmetic(uncounted=(operator_name(node),))

    def _ask(self, node: ir.Node, op_type: str, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        """Return onnx-tool's count for a graph of one node; a scalar counts as one element, not as none."""
        read = {shape: f"in{i}" for i, shape in enumerate(dict.fromkeys(inputs))}
        made = [f"out{i}" for i in range(len(outputs))]
        proto = onnx.helper.make_node(op_type, [read[shape] for shape in inputs], made, name="node")
        proto.attribute.extend(ir.to_proto(attribute) for attribute in node.attributes.values())
        infos = [_info(name, shape) for shape, name in read.items()]
        graph = onnx.helper.make_graph([proto], "one", infos, list(map(_info, made, outputs)))
        profiled = self._tool.Model(onnx.helper.make_model(graph)).graph
        profiled.valid_shape = True  # known already: its own inference is not asked
        profiled.profile()
        return int(profiled.nodemap["node"].macs[0])


def _info(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape or (1,))


def without_macs(node: ir.Node) -> Arithmetic | None:
    """Return the arithmetic of an operator that nobody counts and that has no multiply-accumulates; None of others."""
    return Arithmetic(uncounted=(node.op_type,)) if not node.domain and node.op_type in WITHOUT_MACS else None


def _attributes(node: ir.Node) -> tuple[object, ...]:
    """Return what of a node's attributes may change its count: onnx-tool (1.0.1) asks for no float, as an epsilon or a slope."""
    rows: list[object] = []
    for name, attribute in sorted(node.attributes.items()):
        if attribute.type in _PLAIN and not attribute.is_ref():
            rows.append((name, attribute.type, repr(attribute.value)))
        elif attribute.type not in _FLOATS:
            rows.append(ir.to_proto(attribute).SerializeToString())
    return tuple(rows)
