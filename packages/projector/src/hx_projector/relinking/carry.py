"""Owners of the nodes of a transformed graph, by the nodes of the original that they stand for.

Going against the order of the graph, the first of these that applies to a node decides:

* It produces the counterpart of a value by the same operator: it stands for that node, and for the nodes of the region
  that no other stands for.
* It only changes the form of a counterpart: it belongs to the call that produced the value.
* It computes with data in a region: it stands for the computing nodes there; of several calls their common call owns it.
* A node without a counterpart inherits its readers' common call.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from hx_graph import CallTree
from hx_projector._graph_index import FORM_CHANGING
from hx_projector.attribution.assemble import RANK
from hx_projector.relinking.correspondence import Region, Span, ValueCorrespondence
from hx_sidecar_schema import Confidence, Node

MANY = 64
"""Of more nodes of the original that several new ones stand for together, no list is kept."""


class CarriedOwner(NamedTuple):
    """The owner of a node of a transformed graph, with what it stands for in the original."""

    owner: int
    confidence: Confidence
    known: bool
    """False where nothing is known of it, and the root stands in."""
    originals: Sequence[str] = ()
    """Nodes of the original that it stands for."""
    covers: Sequence[int] = ()
    """Their calls, where there are several."""


ROOT = CarriedOwner(0, "low", known=False)
"""What the root stands in for."""


class OwnerCarrier:
    """Finds the owners of the nodes of a transformed graph, by those that the nodes of the original have."""

    def __init__(
        self, matches: ValueCorrespondence, rows: Mapping[str, Node], tree: CallTree, unread: CarriedOwner
    ) -> None:
        """Carry over the rows of the original; `unread` owns nodes without a counterpart that nothing in the graph reads."""
        self._new, self._matches, self._old = matches.new, matches, matches.old
        self._tree, self._rows, self._unread = tree, rows, unread
        self._by_span: dict[Span, CarriedOwner | None] = {}
        self.owners: dict[str, CarriedOwner] = {}
        """By the first outputs of the nodes."""
        self._computing = Counter(
            matches.span(key)
            for key, node in self._new.operators.items()
            if key not in matches.same_operator and node.op_type not in FORM_CHANGING and key in self._new.data
        )
        """Of each region, how many computing nodes have no counterpart of the same operator."""
        for key in reversed(self._new.operators):
            self.owners[key] = self._find(key) or self._inherited(key)

    def _find(self, key: str) -> CarriedOwner | None:
        """Return the owner that a node has from the original; None where its readers tell."""
        same, value = self._matches.same_operator.get(key), self._matches.counterpart.get(key)
        if same is not None:
            if self._matches.stands_alone(key):
                return self._owner_of([same], [same])
            return self._owner_of([same], sorted({same, *self._matches.region(key).unmatched}, key=self._old.order))
        if value is not None and any(self._matches.counterpart.get(name) == value for name in self._new.reads[key]):
            producer = self._old.producer.get(value)  # it only turns the value into another form
            return self._owner_of([producer], ()) if producer is not None and producer in self._rows else None
        span = self._matches.span(key)
        whole = self._region_owner(span, self._matches.region(key)) if key in self._new.data else None
        if whole is None:
            return None
        if whole.covers and whole.confidence == "high":
            certain = self._computing[span] == 1 or self._needs_all(span, whole)
            whole = whole if certain else whole._replace(confidence="medium")
        return whole._replace(originals=()) if self._computing[span] > 1 and len(whole.originals) > MANY else whole

    def _region_owner(self, span: Span, region: Region) -> CarriedOwner | None:
        """Return what all nodes of a region stand for together; None where the original computes nothing there."""
        if span not in self._by_span:
            nodes = region.unmatched or region.nodes
            fed = self._old.forward_slice(nodes, span[0]) or [key for key in nodes if key in self._old.data]
            computing = [key for key in fed if self._old.operators[key].op_type not in FORM_CHANGING]
            self._by_span[span] = self._owner_of(computing or fed, nodes) if fed else None
        return self._by_span[span]

    def _needs_all(self, span: Span, whole: CarriedOwner) -> bool:
        """Say whether the results of a region are those of so many of its calls that no inner call is around them all."""
        producers = (self._old.producer.get(end) for end in span[1])
        ends = {row.owner for producer in producers if (row := self._rows.get(producer or ""))}
        return bool(ends) and ends <= set(whole.covers) and self._tree.common(ends) == whole.owner

    def _owner_of(self, deciding: Iterable[str], originals: Sequence[str]) -> CarriedOwner:
        """Return the common call of some nodes of the original, as uncertain as the least certain of them."""
        return self._common([self._rows[key] for key in deciding])._replace(originals=originals)

    def _inherited(self, key: str) -> CarriedOwner:
        """Return the common call of the nodes that read a node, at most of medium confidence where there are several."""
        readers = [self.owners[reader] for reader in self._new.readers_of(key)]
        if not readers:
            return self._unread
        owner = self._common(readers)
        confidence = "medium" if owner.covers and owner.confidence == "high" else owner.confidence
        return owner._replace(confidence=confidence, covers=())

    def _common(self, rows: Sequence[Node | CarriedOwner]) -> CarriedOwner:
        if len(rows) == 1:  # as most are
            return CarriedOwner(rows[0].owner, rows[0].confidence, rows[0].known)
        calls = sorted({row.owner for row in rows})
        confidence: Confidence = min((row.confidence for row in rows), key=RANK.__getitem__)
        known, covers = all(row.known for row in rows), calls if len(calls) > 1 else ()
        return CarriedOwner(self._tree.common(calls), confidence, known, (), covers)
