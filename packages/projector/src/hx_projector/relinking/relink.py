"""The entry to relinking: a sidecar for what a tool made of an exported model."""

import onnx_ir as ir

from hx_graph import CallTree, body_path, nested_graphs, nodes_in, output_of
from hx_projector._graph_index import grouped, wired
from hx_projector.attribution.assemble import assemble
from hx_projector.attribution.owners import Attribution, OwnedNodes, function_nodes, node_row
from hx_projector.relinking.carry import ROOT, CarriedOwner, OwnerCarrier
from hx_projector.relinking.context import context_of
from hx_projector.relinking.correspondence import ValueCorrespondence
from hx_projector.relinking.original import Original, original_of
from hx_projector.relinking.strangers import refuse_strangers
from hx_sidecar_schema import ModuleContext, Node, Sidecar, collector_paused, node_name

LINEAGE = "lineage"
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
    refuse_strangers(transformed.graph, new, old, sidecar, file)
    carried = _Carried(sidecar)
    carried.add(ValueCorrespondence(new, old, {}), transformed.graph, "", ROOT)
    return carried.owned, carried.unchanged


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
