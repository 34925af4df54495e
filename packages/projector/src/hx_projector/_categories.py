"""Operator categories and how much of each must be attributed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hx_sidecar_schema import CategoryStatistics, Node, Summary


@dataclass(frozen=True)
class Category:
    """A group of operators: `threshold` is the covered share, in percent, below which hx warns."""

    name: str
    threshold: float
    critical: bool
    operators: frozenset[str]


CATEGORIES = tuple(
    Category(name, threshold, critical, frozenset(operators.split()))
    for (name, threshold, critical), operators in {
        ("mathematical", 95, True): (
            "Add Sub Mul Div Pow Sqrt Exp Log Neg Abs Reciprocal Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh "
            "Atanh Erf Floor Ceil Round Sign Mod Min Max Sum Mean Clip MatMul Einsum CumSum Det BitShift DFT STFT"
        ),
        ("activation", 95, True): (
            "Relu LeakyRelu PRelu Elu Celu Selu Gelu Sigmoid HardSigmoid HardSwish Tanh Softmax LogSoftmax "
            "Softplus Softsign Mish ThresholdedRelu Hardmax Swish"
        ),
        ("neural network layers", 95, True): (
            "Conv ConvTranspose ConvInteger DeformConv Gemm LSTM GRU RNN BatchNormalization LayerNormalization "
            "InstanceNormalization GroupNormalization RMSNormalization LpNormalization LRN MaxPool AveragePool "
            "LpPool GlobalAveragePool GlobalMaxPool Dropout Attention RotaryEmbedding MatMulInteger Upsample "
            "Resize GridSample"
        ),
        ("reduction", 95, True): (
            "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp "
            "ReduceSumSquare ArgMax ArgMin TopK"
        ),
        ("lookup/indexing", 90, False): (
            "Gather GatherElements GatherND Scatter ScatterElements ScatterND NonZero OneHot Unique Compress "
            "TensorScatter"
        ),
        ("tensor manipulation", 85, False): (
            "Reshape Transpose Squeeze Unsqueeze Flatten Concat Split Slice Pad Tile Expand DepthToSpace "
            "SpaceToDepth Identity Trilu ReverseSequence EyeLike SplitToSequence SequenceAt ConcatFromSequence "
            "SequenceConstruct Col2Im"
        ),
        ("shape/metadata", 85, False): "Shape Size Range",
        ("parameter/constants", 70, False): "Constant ConstantOfShape RandomNormal RandomUniform",
        ("comparison/logic", 80, False): (
            "Equal Greater GreaterOrEqual Less LessOrEqual And Or Not Xor Where IsNaN IsInf BitwiseAnd BitwiseOr "
            "BitwiseNot BitwiseXor"
        ),
        ("type conversion", 60, False): "Cast CastLike QuantizeLinear DequantizeLinear DynamicQuantizeLinear",
        ("control flow", 80, False): "If Loop Scan SequenceMap Optional OptionalGetElement",
    }.items()
)
UNCATEGORISED = "uncategorised"

_BY_OPERATOR = {operator: category.name for category in CATEGORIES for operator in category.operators}


def category_of(op_type: str) -> str:
    """Return the name of the category of an operator; `UNCATEGORISED` for one that no category has."""
    return _BY_OPERATOR.get(op_type, UNCATEGORISED)


def summary_of(rows: Iterable[Node], recorded: Mapping[str, int] | None = None) -> Summary:
    """Return the summary of a sidecar, with the categories that have nodes in the table's order.

    Recorded are numbers of known nodes by category, which stand where they are possible and no less than counted.
    """
    total, known, exact = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        name = category_of(row.op_type)
        total[name] += 1
        known[name] += row.known
        exact[name] += row.confidence == "high"
    for name, count in (recorded or {}).items():
        if known[name] <= count <= total[name]:
            known[name] = count

    def percent(part: int, whole: int) -> float:
        return round(100.0 * part / whole, 2) if whole else 100.0

    return Summary(
        nodes=total.total(),
        exact_percent=percent(exact.total(), total.total()),
        covered_percent=percent(known.total(), total.total()),
        category_statistics={
            name: CategoryStatistics(
                total=total[name], tagged=known[name], percentage=percent(known[name], total[name]), exact=exact[name]
            )
            for name in (*(category.name for category in CATEGORIES), UNCATEGORISED)
            if total[name]
        },
    )
