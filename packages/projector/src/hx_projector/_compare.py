"""Whether two graphs are the same, whatever their nodes and values are called."""

from __future__ import annotations

import onnx_ir as ir


def first_difference(a: ir.Model, b: ir.Model) -> str | None:
    """Return where two exports of one model differ, in words; None where their topology is identical.

    Nodes are compared in order: operator, attributes, and where each input comes from. Also compared are inputs and
    outputs with dtype and shape, and the dtypes and shapes of weights; not their contents. Names do not matter.
    """
    return _graphs(a.graph, b.graph, {}, "main graph")


def _graphs(a: ir.Graph, b: ir.Graph, same: dict[int, int], where: str) -> str | None:
    for side, left, right in (("input", a.inputs, b.inputs), ("output", a.outputs, b.outputs)):
        if [_typed(value) for value in left] != [_typed(value) for value in right]:
            return f"{where}: {side}s are {list(left)!r} and {list(right)!r}"
    same.update((id(left), id(right)) for left, right in zip(a.inputs, b.inputs, strict=True))
    nodes_a, nodes_b = list(a), list(b)
    for index, (left, right) in enumerate(zip(nodes_a, nodes_b, strict=False)):
        problem = _nodes(left, right, same)
        if problem is not None:
            return f"{where}, node {index} ({left.op_type} {left.outputs[0].name!r}): {problem}"
        same.update((id(x), id(y)) for x, y in zip(left.outputs, right.outputs, strict=True))
    if len(nodes_a) != len(nodes_b):
        return f"{where}: {len(nodes_a)} nodes and {len(nodes_b)} nodes"
    for left, right in zip(a.outputs, b.outputs, strict=True):
        if not _equal_values(left, right, same):
            return f"{where}: output {left.name!r} comes from elsewhere than {right.name!r}"
    return None


def _nodes(a: ir.Node, b: ir.Node, same: dict[int, int]) -> str | None:
    if (a.domain, a.op_type, len(a.outputs)) != (b.domain, b.op_type, len(b.outputs)):
        return f"the other is {b.op_type}"
    if len(a.inputs) != len(b.inputs):
        return f"{len(a.inputs)} inputs and {len(b.inputs)} inputs"
    for index, (left, right) in enumerate(zip(a.inputs, b.inputs, strict=True)):
        if not _equal_values(left, right, same):
            return f"input {index} comes from elsewhere"
    if a.attributes.keys() != b.attributes.keys():
        return f"attributes {sorted(a.attributes)} and {sorted(b.attributes)}"
    for name, left in a.attributes.items():
        right = b.attributes[name]
        if left.type == ir.AttributeType.GRAPH and right.type == ir.AttributeType.GRAPH:
            problem = _graphs(left.as_graph(), right.as_graph(), same, f"body {name!r}")
            if problem is not None:
                return problem
        elif left.type != right.type or str(left.value) != str(right.value):
            return f"attribute {name!r} is {left.value!r} and {right.value!r}"
    return None


def _equal_values(a: ir.Value | None, b: ir.Value | None, same: dict[int, int]) -> bool:
    if a is None or b is None:
        return a is b
    if id(a) in same or a.producer() is not None or b.producer() is not None:
        return same.get(id(a)) == id(b)
    return _typed(a) == _typed(b)  # two weights


def _typed(value: ir.Value) -> tuple[str, list[str]]:
    return (str(value.dtype), ["?" if not isinstance(dim, int) else str(dim) for dim in value.shape or ()])
