"""The arithmetic of single nodes, by onnx-tool. The only file that imports it.

What onnx-tool 1.0.1 does, as measured, and what is done about it:

* Its shape inference stops at the first operator that it does not know (of five small transformers, at `IsNaN` in four),
  and then nothing is profiled. Its graphs are keyed by node names, which need not be unique; reading weights stored
  outside the file fails; building a graph takes time quadratic in its nodes. So every node becomes a graph of its own,
  with sizes that are known already and without weights. Equal nodes are asked about once.
* What it calls MACs are x86 instructions: 1 for each multiply-accumulate, but 32 for an exponential, 24 for a root.
  Here `macs` are the multiply-accumulates of operators that contract; the rest of its count is `other`.
* It adds one for each element of a bias. Operators are asked about without it, and integer and fused ones as the plain
  operator that they contain.
* Its ConvTranspose counts output elements where each input element meets the kernel, its recurrent operators mix gates in,
  its Einsum takes two operands without an ellipsis. These have formulas here.
* Of an operator that it does not know it says 0. Here, that is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import onnx
import onnx_ir as ir

from hx_projector.attribution.categories import CATEGORIES
from hx_projector.cost.sizes import Sizes
from hx_sidecar_schema import HxError


class Arithmetic(NamedTuple):
    """What a node, or several, compute.

    Attributes:
        macs: Multiply-accumulates of matrix products, convolutions and their like.
        other: onnx-tool's count of the other arithmetic, in instructions of a processor.
        unknown: Operators whose `macs` are not known, each with the reason, in no count.
        uncounted: Operators whose other arithmetic nobody counts.
    """

    macs: int = 0
    other: int = 0
    unknown: tuple[tuple[str, str], ...] = ()
    uncounted: tuple[str, ...] = ()


_MOVING = {"lookup/indexing", "tensor manipulation", "shape/metadata", "parameter/constants", "control flow"}
_MOVES = frozenset().union(*(c.operators for c in CATEGORIES if c.name in _MOVING)) | {
    "Cast",
    "CastLike",
    "Dropout",
    "Where",
}
"""Operators that move data: they compute nothing."""
_CONTRACTS = frozenset(
    [
        "MatMul",
        "Gemm",
        "Conv",
        "ConvTranspose",
        "DeformConv",
        "ConvInteger",
        "MatMulInteger",
        "QLinearMatMul",
        "QLinearConv",
        "Einsum",
        "LSTM",
        "GRU",
        "RNN",
        "Attention",
        "DFT",
        "STFT",
        "Det",
    ]
)
_PLAIN = frozenset().union(*(c.operators for c in CATEGORIES)) - _CONTRACTS
"""Operators of ONNX without multiply-accumulates."""
_MICROSOFT_PLAIN = frozenset(
    [
        "BiasDropout",
        "BiasGelu",
        "BiasSoftmax",
        "BiasSplitGelu",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "FastGelu",
        "Gelu",
        "LayerNormalization",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearGlobalAveragePool",
        "QLinearLeakyRelu",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearSoftmax",
        "QuantizeLinear",
        "QuickGelu",
        "ReorderInput",
        "ReorderOutput",
        "SimplifiedLayerNormalization",
        "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization",
    ]
)
"""Operators that ONNX Runtime 1.31 makes when it optimises, without multiply-accumulates."""
_READ_AS = {
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
"""Which operator of onnx-tool a contraction is, and which inputs it contracts."""


def operator_name(node: ir.Node) -> str:
    """Return an operator with its domain, where that is not ONNX's own."""
    return f"{node.domain}::{node.op_type}" if node.domain else node.op_type


class OnnxTool:
    """Asks onnx-tool, once for nodes that are alike.

    Raises:
        HxError: HX213 if onnx-tool is not installed.
    """

    def __init__(self) -> None:
        try:
            import onnx_tool
            from onnx_tool.node import FusedBase, Node
        except ImportError as error:
            raise HxError(
                "onnx-tool is not installed.",
                code="HX213",
                hint="Install it: `pip install hx-projector[cost]`.",
            ) from error
        self._tool: Any = onnx_tool
        self._silent = (Node.profile, FusedBase.profile)
        self._asked: dict[object, Arithmetic] = {}

    def arithmetic(
        self, node: ir.Node, inputs: Sequence[Sizes | None], outputs: Sequence[Sizes | None]
    ) -> Arithmetic | None:
        """Return what a node computes, its bodies excepted.

        Args:
            node: Anything but a call of a function of the model.
            inputs: Sizes; None where they are unknown, or where an input is left out.
            outputs: Sizes; None where they are unknown.

        Returns:
            None where neither onnx-tool nor a formula knows the operator.
        """
        if not node.domain and node.op_type in _MOVES:
            return Arithmetic()
        key = (node.op_identifier(), tuple(inputs), tuple(outputs), _attributes(node))
        if key not in self._asked:
            found = self._arithmetic(node, inputs, outputs)
            if found is None:
                return None
            self._asked[key] = found
        return self._asked[key]

    def _arithmetic(
        self, node: ir.Node, inputs: Sequence[Sizes | None], outputs: Sequence[Sizes | None]
    ) -> Arithmetic | None:
        key = (node.domain, node.op_type)
        formula = _FORMULAS.get(key)
        if formula is None and key not in _READ_AS:
            return self._other(node, inputs, outputs)
        try:
            if formula is not None:
                return Arithmetic(formula(node, inputs, outputs))
            name, *operands = _READ_AS[key]
            left, right = (_needed(inputs, int(position)) for position in operands)
            right = (*right, 1) if len(right) == 1 else right  # onnx-tool counts no products with a vector
            return Arithmetic(self._ask(node, str(name), [left, right], [(math.prod(_needed(outputs, 0)),)]))
        except _Unknown as error:
            return Arithmetic(unknown=((operator_name(node), str(error)),))
        except Exception as error:  # noqa: BLE001 whatever onnx-tool raises: reported, with the operator
            return Arithmetic(unknown=((operator_name(node), f"onnx-tool: {error!r}"),))

    def _other(
        self, node: ir.Node, inputs: Sequence[Sizes | None], outputs: Sequence[Sizes | None]
    ) -> Arithmetic | None:
        """The arithmetic of an operator without multiply-accumulates."""
        if node.domain == "com.microsoft" and node.op_type in _MICROSOFT_PLAIN:
            return Arithmetic(uncounted=(operator_name(node),))
        if node.domain or node.op_type in _CONTRACTS:
            return None
        kind = self._tool.NODE_REGISTRY.get(f"{node.op_type}Node")
        if kind is None or kind.profile in self._silent:
            return None
        try:
            sizes = [_needed(inputs, i) if node.inputs[i] is not None else () for i in range(len(inputs))]
            return Arithmetic(other=self._ask(node, node.op_type, sizes, [_needed(outputs, 0)]))
        except Exception:  # noqa: BLE001 whatever onnx-tool raises: reported, with the operator
            return Arithmetic(uncounted=(operator_name(node),))

    def _ask(self, node: ir.Node, op_type: str, inputs: Sequence[Sizes], outputs: Sequence[Sizes]) -> int:
        """Return onnx-tool's count for a graph of one node; a scalar counts as one element, not as none."""
        proto = onnx.NodeProto(op_type=op_type, name="node")
        proto.attribute.extend(ir.to_proto(attribute) for attribute in node.attributes.values())
        proto.input.extend(f"in{i}" for i in range(len(inputs)))
        proto.output.extend(f"out{i}" for i in range(len(outputs)))
        graph = onnx.helper.make_graph(
            [proto], "one", _infos(proto.input, inputs), _infos(proto.output, outputs)
        )
        profiled = self._tool.Model(onnx.helper.make_model(graph)).graph
        profiled.valid_shape = True  # known already: its own inference is not asked
        profiled.profile()
        return int(profiled.nodemap["node"].macs[0])


def _infos(names: Iterable[str], shapes: Iterable[Sizes]) -> list[onnx.ValueInfoProto]:
    return [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes or (1,))
        for name, sizes in zip(names, shapes, strict=True)
    ]


def without_macs(node: ir.Node) -> Arithmetic | None:
    """Return what is certain of an operator that nobody counts: of ONNX's plain ones, that they contract nothing."""
    return Arithmetic(uncounted=(node.op_type,)) if not node.domain and node.op_type in _PLAIN else None


class _Unknown(Exception):
    """Sizes that a formula needs are not known."""


def _needed(sizes: Sequence[Sizes | None], position: int) -> Sizes:
    found = sizes[position] if position < len(sizes) else None
    if found is None:
        raise _Unknown("sizes unknown")
    return found


def _attributes(node: ir.Node) -> bytes:
    if not node.attributes:
        return b""
    return b"".join(
        ir.to_proto(node.attributes[name]).SerializeToString() for name in sorted(node.attributes)
    )


_Shapes = Sequence[Sizes | None]


def _transposed(node: ir.Node, inputs: _Shapes, outputs: _Shapes) -> int:
    """Each input element meets the kernel of its group once: elements of x times (Cout / group) x kernel."""
    return math.prod(_needed(inputs, 0)) * math.prod(_needed(inputs, 1)[1:])


def _deformed(node: ir.Node, inputs: _Shapes, outputs: _Shapes) -> int:
    """A convolution at other places; their interpolation is not counted."""
    return math.prod(_needed(outputs, 0)) * math.prod(_needed(inputs, 1)[1:])


def _recurrent(node: ir.Node, inputs: _Shapes, outputs: _Shapes) -> int:
    """All of W and R once for each step of each sequence."""
    weights = sum(math.prod(_needed(inputs, position)) for position in (1, 2))
    return weights * math.prod(_needed(inputs, 0)[:2])


def _einsum(node: ir.Node, inputs: _Shapes, outputs: _Shapes) -> int:
    """The product of all labels' sizes: what one loop over all of them does, however many operands."""
    terms = node.attributes["equation"].as_string().replace(" ", "").partition("->")[0].split(",")
    labels: dict[object, int] = {}
    for position, term in enumerate(terms):
        sizes = list(_needed(inputs, position))
        before, dots, after = term.partition("...")
        names: list[object] = list(before)
        hidden = len(sizes) - len(before) - len(after)
        names += range(-hidden, 0) if dots else ()  # counted from the right, as broadcasting does
        for name, size in zip([*names, *after], sizes, strict=True):
            labels[name] = max(labels.get(name, 1), size)
    return math.prod(labels.values())


def _matmul_transposed(node: ir.Node, inputs: _Shapes, outputs: _Shapes) -> int:
    left = _needed(inputs, 0)
    flag = node.attributes.get("transA")
    return math.prod(_needed(outputs, 0)) * left[-2 if flag is not None and flag.as_int() else -1]


def _matmul_packed(node: ir.Node, inputs: _Shapes, outputs: _Shapes) -> int:
    return math.prod(_needed(outputs, 0)) * node.attributes["K"].as_int()


_FORMULAS: dict[tuple[str, str], Callable[[ir.Node, _Shapes, _Shapes], int]] = {
    ("", "ConvTranspose"): _transposed,
    ("", "DeformConv"): _deformed,
    ("", "Einsum"): _einsum,
    ("", "LSTM"): _recurrent,
    ("", "GRU"): _recurrent,
    ("", "RNN"): _recurrent,
    ("com.microsoft", "FusedMatMul"): _matmul_transposed,
    ("com.microsoft", "MatMulNBits"): _matmul_packed,
}
