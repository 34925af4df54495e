"""Sizes that the graph reads from tensors outside the call, read from the call's own inputs instead."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from hx_extractor.cut.builder import GraphBuilder
from hx_graph import Size


def read_sizes(builder: GraphBuilder, sizes: Mapping[str, Sequence[Size]], scalars: Container[str]) -> None:
    """Put nodes that read sizes from the inputs in the place of values that hold these sizes.

    Args:
        builder: Its inputs are made.
        sizes: As `hx_graph.Cut` has them.
        scalars: Values that are a size themselves, instead of a list with one.
    """
    for name, dims in sizes.items():
        parts = [_add(builder, _node(builder, dim), name, number, (1,)) for number, dim in enumerate(dims)]
        value = parts[0]
        if name in scalars:
            value = _add(builder, ir.node("Squeeze", parts), name, 1, ())
        elif len(parts) != 1:
            value = _add(builder, ir.node("Concat", parts, {"axis": 0}), name, len(parts), (len(parts),))
        builder.substitute(name, value)


def _node(builder: GraphBuilder, dim: Size) -> ir.Node:
    if isinstance(dim, int):
        return ir.node("Constant", [], {"value": ir.Tensor(np.array([dim], dtype=np.int64))})
    carrier, axis = dim
    builder.build(carrier)
    return ir.node("Shape", [builder.value(carrier)], {"start": axis, "end": axis + 1})


def _add(builder: GraphBuilder, node: ir.Node, name: str, number: int, shape: tuple[int, ...]) -> ir.Value:
    value = builder.append(node, f"{name}.size{number}")
    value.type, value.shape = ir.TensorType(ir.DataType.INT64), ir.Shape(shape)
    return value
