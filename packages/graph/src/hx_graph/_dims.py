"""Element types and shapes as records have them, and the nodes that read sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir


def dims_of(shape: ir.ShapeProtocol | None) -> list[int | str]:
    """Return the dimensions of a shape: integers, symbols or expressions over them, `?` for unknown ones.

    Args:
        shape: None, where not even the rank is known, gives no dimensions.
    """
    return [dim if isinstance(dim, int) else str(dim.value or "?") for dim in shape or ()]


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


def is_size_query(node: ir.Node) -> bool:
    """Say whether a node reads the sizes of its input and none of its numbers: ONNX's own Shape or Size."""
    return node.op_type in ("Shape", "Size") and not node.domain


def queried_dims(node: ir.Node) -> list[int | str] | None:
    """Return the dimensions that ONNX's own Shape reads, from `start` to `end`.

    Returns:
        None for every other node, and where the rank of the input is not known.
    """
    if node.op_type != "Shape" or node.domain:
        return None
    source = node.inputs[0]
    if source is None or source.shape is None:
        return None
    start, end = node.attributes.get("start"), node.attributes.get("end")
    return dims_of(source.shape)[start.as_int() if start else None : end.as_int() if end else None]
