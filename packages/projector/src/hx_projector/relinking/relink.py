"""The entry to relinking: a sidecar for what a tool made of an exported model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx_ir as ir

from hx_graph import CallTree, nodes_below, output_of
from hx_projector._graph_index import GraphIndex
from hx_projector.attribution.assemble import assemble
from hx_projector.attribution.owners import OwnedNode, function_nodes
from hx_projector.relinking.carry import CarriedOwner, OwnerCarrier
from hx_projector.relinking.context import context_of
from hx_projector.relinking.correspondence import ValueCorrespondence
from hx_sidecar_schema import HxError, Sidecar, collector_paused

LINEAGE = "lineage"


def relink(transformed: ir.Model, original: ir.Model, sidecar: Sidecar, *, file: str) -> Sidecar:
    """Attribute a model that was made of another: optimised, fused, quantised, converted or simplified.

    Args:
        transformed: With types of its values, where calls shall be cut out of it; not changed.
        original: What it was made of; not changed.
        sidecar: Of the original.
        file: Name of the transformed ONNX file.

    Returns:
        The sidecar of the transformed model. Every node names the nodes of the original that it stands for
        (`originals`), and where these belong to several calls, the calls (`covers`): its owner is what they have in
        common. Calls whose inputs or outputs are no more in the graph are `fused`.

    Raises:
        HxError: HX211 if the one was not made of the other.
    """
    with collector_paused():
        new, old = GraphIndex(transformed), GraphIndex(original)
        _refuse_strangers(new, old, sidecar, file)
        matches = ValueCorrespondence(new, old)
        found = OwnerCarrier(new, matches, sidecar).owners
        owned = list(_owned(transformed, found, old, sidecar))
        context = context_of(new, matches, found, sidecar)
        owned += function_nodes(transformed, owned, CallTree(context.calls))
        return assemble(transformed, context, owned, file=file, merger="The transformation")


def _refuse_strangers(new: GraphIndex, old: GraphIndex, sidecar: Sidecar, file: str) -> None:
    reason = ""
    # Values of the original may be outputs too, as those who look for an error make them.
    added = len(new.outputs) - len(old.outputs)
    named = sum(map(old.is_data_value, new.outputs))
    if len(new.inputs) > len(old.inputs) or added < 0 or (added > 0 and named < len(new.outputs)):
        reason = f"it has the inputs {new.inputs} and outputs {new.outputs}, not {old.inputs} and {old.outputs}"
    elif old.producer and new.producer and new.inputs != old.inputs and not new.producer.keys() & old.producer.keys():
        reason = "no value has the same name"
    if reason:
        raise HxError(
            f"Model {file!r} was not made of {sidecar.model.file!r}: {reason}.",
            code="HX211",
            hint="Name the export that it was made of.",
            argument="original",
        )


def _owned(
    model: ir.Model, found: Mapping[str, CarriedOwner], old: GraphIndex, sidecar: Sidecar
) -> Iterator[OwnedNode]:
    """Yield the nodes of the main graph and its bodies with their owners.

    Two kinds of nodes have the owner of the node of the original's bodies that has their name and operator: those that
    are still in a body, and those that were moved out of one because its condition was known.
    """
    bodies: dict[tuple[str, str], list[CarriedOwner]] = {}
    for row in sidecar.nodes:
        if row.graph:
            owner = CarriedOwner(row.owner, row.confidence, row.known)
            bodies.setdefault((row.output, row.op_type), []).append(owner)
    for node in model.graph:
        key = output_of(node)
        around = found[key]
        moved = bodies.get((key, node.op_type), [])
        if len(moved) == 1 and not old.is_data_value(key):
            around = moved[0]
        yield OwnedNode("", key, node, LINEAGE, *around)
        inherited = CarriedOwner(around.owner, "medium" if around.known else "low", around.known)
        for path, inner in nodes_below(node):
            output = output_of(inner)
            same = bodies.get((output, inner.op_type), [])
            yield OwnedNode(path, output, inner, LINEAGE, *(same[0] if len(same) == 1 else inherited))
