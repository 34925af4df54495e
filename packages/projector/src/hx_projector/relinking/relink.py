"""The entry to relinking: a sidecar for what a tool made of an exported model."""

from collections.abc import Sequence
from itertools import islice

import onnx_ir as ir

from hx_graph import INDEX_TYPES, CallTree, body_path, can_be_equal, dims_of, nested_graphs, nodes_in, output_of
from hx_projector._graph_index import Wiring, grouped, wired
from hx_projector.attribution.assemble import assemble
from hx_projector.attribution.owners import Attribution, OwnedNodes, function_nodes, node_row
from hx_projector.relinking.carry import ROOT, CarriedOwner, OwnerCarrier
from hx_projector.relinking.context import context_of
from hx_projector.relinking.correspondence import ValueCorrespondence, name_inside
from hx_projector.relinking.original import Original, Outline, ValueType, original_of, types_of
from hx_sidecar_schema import HxError, ModuleContext, Node, Sidecar, collector_paused, node_name

LINEAGE = "lineage"
_COMPARED = 1000
"""So many values are looked at; where most have other shapes, names are equal by chance."""
MERGER = "The transformation"
"""What merged nodes of several modules, see `assemble`."""


def relink(transformed: ir.Model, original: ir.Model | Original, sidecar: Sidecar, *, file: str) -> Sidecar:
    """Attribute a model that was made of another: optimised, fused, quantised, converted or simplified.

    Args:
        transformed: With types of its values, where calls shall be cut out of it; not changed.
        original: What it was made of; not changed. Or what is needed of it, as `read_original` returns it.
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
        context, attribution = carry_over(transformed, original, sidecar, file=file)
        return assemble(transformed, context, attribution, file=file, merger=MERGER, cut_from=sidecar.cut_from)


def carry_over(
    transformed: ir.Model, original: ir.Model | Original, sidecar: Sidecar, *, file: str
) -> tuple[ModuleContext, Attribution]:
    """Return what `assemble` makes the sidecar of a transformed model of; who lets go of the original in between saves its memory.

    Arguments and errors are those of `relink`.
    """
    original = original if isinstance(original, Original) else original_of(original)
    owned, unchanged = _carried(transformed, original, sidecar, file)
    context = context_of(transformed, original, unchanged, owned, sidecar)
    owned |= function_nodes(transformed, owned, CallTree(context.calls))
    return context, (owned, [])


def _carried(
    transformed: ir.Model, original: Original, sidecar: Sidecar, file: str
) -> tuple[OwnedNodes, dict[str, str]]:
    """Return the nodes with their owners, and unchanged values: what found them, a third of all memory, is left behind."""
    new, old = wired(transformed.graph), original.graph
    _refuse_strangers(transformed.graph, new, old, sidecar, file)
    carried = _Carried(sidecar)
    carried.add(ValueCorrespondence(new, old, {}), transformed.graph, "", ROOT)
    return carried.owned, carried.unchanged


def _refuse_strangers(graph: ir.Graph, new: Wiring, old: Outline, sidecar: Sidecar, file: str) -> None:
    reason = ""
    # Tools add inputs and outputs beside those that there are, drop some, and make inner values inputs or outputs.
    ends_differ = len(new.inputs) > len(old.inputs) and not set(old.inputs) <= set(new.inputs)
    if len(new.outputs) != len(old.outputs) and not set(old.outputs) <= set(new.outputs):
        ends_differ = ends_differ or not all(map(old.is_data_value, new.outputs))
    if ends_differ:
        reason = f"it has the inputs {new.inputs} and outputs {new.outputs}, not {old.inputs} and {old.outputs}"
    elif old.producer and new.producer and new.inputs != old.inputs and not _has_names(new, old):
        reason = "no value has a name with one of the original's in it"
    else:
        reason = _other_weights(new, old) or ("" if _has_weights(graph, old) else _other_shapes(graph, old))
    if reason:
        raise HxError(
            f"Model {file!r} was not made of {sidecar.model.file!r}: {reason}.",
            code="HX211",
            hint="Name the export that it was made of.",
            argument="original",
        )


def _has_names(new: Wiring, old: Outline) -> bool:
    """Say whether a graph has a value that is called as one of the original's, or so with something before or behind it."""
    return any(name in old.producer or name_inside(name, old.producer) for name in new.producer)


def _other_weights(new: Wiring, old: Outline) -> str:
    """Say that nodes have names of the original's by chance, as where values were numbered anew; nothing where they do not."""
    found: list[tuple[str, set[str], set[str]]] = []
    for key in new.operators:
        if old.producer.get(key) == key:
            mine, theirs = (
                {
                    name
                    for name in one.weights_of(key)
                    if name in two.initializers and new.initializers[name] not in INDEX_TYPES
                }
                for one, two in ((new, old), (old, new))
            )
            if mine and theirs:
                found.append((key, mine, theirs))
    other = [row for row in found if row[1].isdisjoint(row[2])]
    if 2 * len(other) <= len(found):
        return ""
    key, mine, theirs = other[0]
    return (
        f"of {len(found)} nodes with the same name and weights of it {len(other)} read other ones, as that of {key!r} "
        f"{min(mine)!r}, not {min(theirs)!r}"
    )


def _has_weights(graph: ir.Graph, old: Outline) -> bool:
    """Say whether most weights with names of the original's have as many numbers: a tool may change the ranks of everything."""
    found = types_of(value for name, value in graph.initializers.items() if name in old.initializers)
    sizes = [(known.elements, old.types[name].elements) for name, known in found.items() if _has_data(known)]
    return 2 * sum(now == before for now, before in sizes) > len(sizes)


def _has_data(weight: ValueType) -> bool:
    return weight.dtype not in INDEX_TYPES and (weight.elements or 0) > 1


def _other_shapes(graph: ir.Graph, old: Outline) -> str:
    """Say that a graph's first values have names of the original's by chance; nothing where they do not.

    Exporters call values alike in all models, as `linear_3`. Tools leave most of them their shapes, but for sizes that they fix.
    """
    produced = (out for node in graph for out in node.outputs)
    shared = (value for value in (*graph.inputs, *produced) if old.is_data_value(str(value.name)))
    first = [(value, old.types[str(value.name)].shape) for value in islice(shared, _COMPARED)]
    other = [(value, shape) for value, shape in first if _is_unlike(dims_of(value.shape), dims_of(shape))]
    if 2 * len(other) <= len(first):
        return ""
    value, shape = other[0]
    return (
        f"of {len(first)} values with the same name {len(other)} have other shapes, as {value.name!r} {dims_of(value.shape)}, "
        f"not {dims_of(shape)}"
    )


def _is_unlike(one: Sequence[int | str], other: Sequence[int | str]) -> bool:
    """Say whether two known shapes have other ranks, or another size everywhere."""
    if not one or not other:  # numbers, or nothing is known
        return False
    return len(one) != len(other) or not any(can_be_equal([a], [b]) for a, b in zip(one, other, strict=True))


class _Carried:
    """Owners that the nodes of a transformed graph have from the original, and those of the bodies in it."""

    def __init__(self, sidecar: Sidecar) -> None:
        """Prepare to carry over what the sidecar of the original says."""
        self._tree = CallTree(sidecar.calls)
        self._rows: dict[str, dict[str, Node]] = {}
        for row in sidecar.nodes:
            self._rows.setdefault(row.graph, {})[row.output] = row
        inner = (row for row in sidecar.nodes if row.graph)
        self._by_name = grouped(((row.output, row.op_type), row) for row in inner)
        """Nodes of bodies, by first output and operator: tools move some out, or into other bodies."""
        self.owned: OwnedNodes = {}
        self.unchanged: dict[str, str] = {}
        """Values that are the original's as they are, with their names there."""

    def _moved(self, node: ir.Node) -> CarriedOwner | None:
        """Return the owner of the only node of a body of the original that a node can be."""
        found = self._by_name.get((output_of(node), node.op_type), ())
        return CarriedOwner(found[0].owner, found[0].confidence, found[0].known) if len(found) == 1 else None

    def add(self, matches: ValueCorrespondence, graph: ir.Graph, path: str, around: CarriedOwner) -> None:
        """Add the nodes of a graph and its bodies, given its path and the owner of what nothing tells."""
        new, old = matches.new, matches.old
        owners = OwnerCarrier(matches, self._rows.get(old.path, {}), self._tree, around).owners
        self.unchanged.update(matches.unchanged())
        for node in graph:
            key = output_of(node)
            owner, same = owners[key], matches.same_operator.get(key)
            if same is None and not old.is_data_value(key):
                owner = self._moved(node) or owner
            if old.path:
                owner = owner._replace(originals=[node_name(old.path, output) for output in owner.originals])
            self.owned[node] = node_row(path, node, LINEAGE, **owner._asdict())
            if not node.attributes.data:
                continue
            inside = CarriedOwner(owner.owner, "medium" if owner.known else "low", owner.known)
            for name, body in nested_graphs(node):
                inner_path = body_path(path, node, name)
                if same is not None and (original := old.bodies.get((same, name))) is not None:
                    within = wired(body, new)
                    known, reads = matches.counterpart, within.reads.values()
                    captured = {read: known[read] for names in reads for read in names if read in known}
                    self.add(ValueCorrespondence(within, original, captured), body, inner_path, inside)
                    continue
                for path_below, below in nodes_in(body, inner_path):
                    moved = self._moved(below) or inside
                    self.owned[below] = node_row(path_below, below, LINEAGE, **moved._asdict())
