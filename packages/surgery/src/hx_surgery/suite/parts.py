"""The parts of a model that a suite may have: calls, blocks, nodes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from hx_extractor import Call, Hierarchy
from hx_graph import output_of
from hx_sidecar_schema import CONTAINERS, simple_name
from hx_surgery.suite.records import By

Key = int | str
"""Row of a call, or first output of a node."""


@dataclass(frozen=True)
class Part:
    """A part of a model as a model of its own."""

    model: ir.Model
    inputs: Mapping[str, str]
    """Names of its inputs, with the values of the whole model that they stand for; without those whose size alone matters."""
    outputs: Mapping[str, str]
    example_inputs: Callable[[], Mapping[str, Any]]


def keys_of(hierarchy: Hierarchy, by: By) -> Iterator[tuple[Key, str, str]]:
    """Yield the parts of a model: the key of each, its class or operator, and the name of the call that it is or belongs to."""
    if by == "operator":
        owners = {node.key: node.owner for node in hierarchy.sidecar.nodes}
        for node in hierarchy.model.graph:
            if node.op_type != "Constant" or node.domain:
                call = hierarchy[owners.get(("", output_of(node)), 0)]
                yield output_of(node), "_".join(part for part in (node.domain, node.op_type) if part), _name(call)
        return
    calls = hierarchy.calls(status="extractable") if by == "call" else blocks_of(hierarchy)
    yield from ((call.row, simple_name(call.class_name), _name(call)) for call in calls)


def cut(hierarchy: Hierarchy, key: Key) -> Part:
    """Cut a part out.

    Raises:
        HxError: As `Hierarchy.extract`.
    """
    if isinstance(key, int):
        call = hierarchy.extract(key)
        carriers = {port.name: port.carrier for port in call.inputs if port.value or port.initializer}
        return Part(call.model, carriers, {port.name: port.carrier for port in call.outputs}, call.example_inputs)
    found = hierarchy.node_part(next(node for node in hierarchy.model.graph if output_of(node) == key))

    def example_inputs() -> Mapping[str, Any]:
        computed = hierarchy.compute(found.inputs.values())
        return {name: computed[carrier] for name, carrier in found.inputs.items()}

    return Part(found.model, found.inputs, found.outputs, example_inputs)


def blocks_of(hierarchy: Hierarchy) -> list[Call]:
    """Return the extractable calls of entries of lists of modules that call modules themselves; and what is around them.

    Lists are ModuleList, Sequential and ModuleDict. Of the rest of the model these are the outermost extractable calls that have
    no block inside; the whole model only where it makes no calls.
    """
    modules, calls = hierarchy.sidecar.modules, list(hierarchy)

    def is_entry(call: Call) -> bool:
        parent = modules[hierarchy.sidecar.calls[call.row].module].parent
        return parent is not None and modules[parent].class_name in CONTAINERS and bool(call.children)

    entries = {call.row for call in calls if call.status == "extractable" and is_entry(call)}
    ends = hierarchy.sidecar.subtree_end
    found: list[Call] = []
    covered = 0
    for call in calls:
        whole = call.row == 0 and bool(call.children)
        alone = call.row >= covered and not whole and entries.isdisjoint(range(call.row, ends[call.row]))
        if call.row in entries or (alone and call.status == "extractable"):
            found.append(call)
            covered = max(covered, ends[call.row])
    return found


def _name(call: Call) -> str:
    name = call.fqn or simple_name(call.class_name)
    return f"{name}@{call.index}" if call.index else name
