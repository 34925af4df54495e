"""Whether two graphs have the same nodes in the same order, whatever the nodes and values are called."""

from collections.abc import Iterable

import onnx_ir as ir

from hx_projector.comparison.signature import attribute_text, type_of


def first_difference(a: ir.Model, b: ir.Model) -> str | None:
    """Return where two exports of one model differ, in words; None where their topology is identical.

    Nodes are compared in order: operator, attributes, and where each input comes from. Also compared are inputs and
    outputs with dtype and shape, and the dtypes and shapes of weights; not their contents. Names do not matter.
    """
    if a.functions.keys() != b.functions.keys():
        return f"functions are {sorted(a.functions)} and {sorted(b.functions)}"
    problem = _graph_difference(a.graph, b.graph, {}, "main graph")
    for key, function in a.functions.items():
        problem = problem or _graph_difference(function, b.functions[key], {}, f"function {key[1]!r}")
    return problem


_Counterparts = dict[ir.Value, ir.Value]
"""Values of both graphs with those of the other; one value has one counterpart."""


def _pair(left: Iterable[ir.Value], right: Iterable[ir.Value], same: _Counterparts) -> None:
    for a, b in zip(left, right, strict=True):
        same[a], same[b] = b, a


def _graph_difference(
    a: ir.Graph | ir.Function, b: ir.Graph | ir.Function, same: _Counterparts, where: str
) -> str | None:
    for side, left, right in (("input", a.inputs, b.inputs), ("output", a.outputs, b.outputs)):
        if list(map(type_of, left)) != list(map(type_of, right)):
            return f"{where}: {side}s are {list(left)!r} and {list(right)!r}"
    _pair(a.inputs, b.inputs, same)
    for index, (one, two) in enumerate(zip(a, b, strict=False)):
        if (problem := _node_difference(one, two, same)) is not None:
            return f"{where}, node {index} ({one.op_type} {one.outputs[0].name!r}): {problem}"
        _pair(one.outputs, two.outputs, same)
    if len(a) != len(b):
        return f"{where}: {len(a)} nodes and {len(b)} nodes"
    for left, right in zip(a.outputs, b.outputs, strict=True):
        if not _equal_values(left, right, same):
            return f"{where}: output {left.name!r} comes from elsewhere than {right.name!r}"
    return None


def _node_difference(a: ir.Node, b: ir.Node, same: _Counterparts) -> str | None:
    if (a.domain, a.op_type, len(a.outputs)) != (b.domain, b.op_type, len(b.outputs)):
        return f"the other is {b.op_type}"
    if len(a.inputs) != len(b.inputs):
        return f"{len(a.inputs)} inputs and {len(b.inputs)} inputs"
    for index, (one, two) in enumerate(zip(a.inputs, b.inputs, strict=True)):
        if not _equal_values(one, two, same):
            return f"input {index} comes from elsewhere"
    if a.attributes.keys() != b.attributes.keys():
        return f"attributes {sorted(a.attributes)} and {sorted(b.attributes)}"
    for name, left in a.attributes.items():
        right = b.attributes[name]
        if left.type == right.type == ir.AttributeType.GRAPH:
            problem = _graph_difference(left.as_graph(), right.as_graph(), same, f"body {name!r}")
            if problem is not None:
                return problem
        elif left.type != right.type or attribute_text(left) != attribute_text(right):
            return f"attribute {name!r} is {left.value!r} and {right.value!r}"
    return None


def _equal_values(a: ir.Value | None, b: ir.Value | None, same: _Counterparts) -> bool:
    if a is None or b is None:
        return a is b
    if a in same or b in same or a.producer() is not None or b.producer() is not None:
        return same.get(a) is b
    if type_of(a) != type_of(b):
        return False
    _pair([a], [b], same)  # two weights, met for the first time
    return True
