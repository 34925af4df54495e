"""Element types and shapes as records have them, and the nodes that read sizes."""

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Protocol

import onnx_ir as ir

INDEX_TYPES = frozenset({ir.DataType.INT64, ir.DataType.BOOL, ir.DataType.STRING})
"""Types of sizes, indices and flags: a constant of one says what is done, one of another type is what it is done with."""
UNKNOWN_DIMS = ("?", "None")
"""What an unknown dimension is called; the latter by exporters. Two of them need not be equal."""
_LIMIT = 2**63
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction | int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS = {"max": max, "min": min, "floor": math.floor, "ceil": math.ceil, "ceiling": math.ceil, "mod": operator.mod}


def dims_of(shape: ir.ShapeProtocol | None) -> list[int | str]:
    """Return the dimensions of a shape: integers, symbols or expressions over them, `?` for unknown ones.

    An unknown rank gives none. Files of Paddle and old converters say -1 for an unknown dimension; so does ONNX Runtime
    (1.31) read it.
    """
    return [(dim if dim >= 0 else "?") if isinstance(dim, int) else str(dim.value or "?") for dim in shape or ()]


def dtype_name(value: ir.Value) -> str:
    """Return the element type of a value, `UNDEFINED` where it is not known."""
    return value.dtype.name if value.dtype else "UNDEFINED"


def can_be_equal(one: Iterable[object], other: Iterable[object]) -> bool:
    """Say whether two shapes are equal for some sizes of the dimensions that are no numbers."""
    left, right = list(one), list(other)
    pairs = zip(left, right, strict=False)
    return len(left) == len(right) and all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))


def shape_from(dims: Sequence[int | str]) -> ir.Shape:
    """Return the shape that has these dimensions, as `dims_of` returns them."""
    return ir.Shape([None if dim == "?" else dim for dim in dims])


class Operator(Protocol):
    """What a node computes with: `ir.Node` and records of nodes have it."""

    @property
    def op_type(self) -> str: ...
    @property
    def domain(self) -> str: ...


def is_size_query(node: Operator) -> bool:
    """Say whether a node reads the sizes of its input and none of its numbers: ONNX's own Shape or Size."""
    return node.op_type in ("Shape", "Size") and not node.domain


def queried_dims(node: ir.Node) -> list[int | str] | None:
    """Return the dimensions that ONNX's own Shape reads; None for other nodes, and for an input of unknown rank."""
    source = node.inputs[0] if node.op_type == "Shape" and not node.domain else None
    if source is None or source.shape is None:
        return None
    start, end = node.attributes.get("start"), node.attributes.get("end")
    return dims_of(source.shape)[start.as_int() if start else None : end.as_int() if end else None]


def evaluate_dim(dim: str, sizes: Mapping[str, int]) -> int | None:
    """Return the size that a symbolic dimension stands for.

    That is a symbol, or an expression over symbols with `+ - * / // % **`, `max`, `min`, `floor`, `ceil` and `mod`; what
    is no expression may be among `sizes` too. None where a symbol is not known, the text is no expression, or the result is
    no size. No text takes long: onnx_ir (1.1) would compute `9**9**9`.
    """
    if dim in sizes:
        return sizes[dim]
    try:
        size = _value(ast.parse(dim.strip(), mode="eval").body, sizes)
    except (ArithmeticError, LookupError, SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        return None
    return int(size) if size == int(size) and 0 <= size < _LIMIT else None


def _value(node: ast.expr, sizes: Mapping[str, int]) -> Fraction:
    match node:
        case ast.Constant(value=int(number)):
            return Fraction(number)
        case ast.Name() | ast.Attribute():
            return Fraction(sizes[ast.unparse(node)])
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, sizes)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return Fraction(_FUNCTIONS[name.lower()](*(_value(arg, sizes) for arg in args)))
        case ast.BinOp(left=first, op=kind, right=second):
            left, right = _value(first, sizes), _value(second, sizes)
            if any(max(abs(part.numerator), part.denominator) >= _LIMIT for part in (left, right)):
                raise ValueError(ast.unparse(node))
            if isinstance(kind, ast.Pow) and right in range(64):
                return left ** int(right)
            return Fraction(_OPERATORS[type(kind)](left, right))
        case _:
            raise ValueError(ast.unparse(node))
