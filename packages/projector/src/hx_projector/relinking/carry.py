"""Owners of the nodes of a transformed graph, by the nodes of the original that they stand for.

Going against the order of the graph, the first of these that applies to a node decides:

* It produces the counterpart of a value by the same operator: it stands for that node, and for the nodes of the region
  that no other stands for.
* It only changes the form of a counterpart: it belongs to the call that produced the value.
* It computes with data in a region: it stands for the computing nodes there; of several calls their common call owns it.
* A node without a counterpart inherits its readers' common call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from hx_graph import CallTree
from hx_projector._graph_index import FORM_CHANGING
from hx_projector.attribution.assemble import weakest
from hx_projector.relinking.correspondence import ValueCorrespondence
from hx_projector.relinking.region import Region, Span
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
    spanned_calls: Sequence[int] = ()
    """Their calls, where there are several."""


ROOT = CarriedOwner(0, "low", known=False)
"""What the root stands in for."""


class OwnerCarrier:
    """Finds the owners of the nodes of a transformed graph."""

    def __init__(
        self, matches: ValueCorrespondence, rows: Mapping[str, Node], tree: CallTree, unread: CarriedOwner = ROOT
    ) -> None:
        """Carry over the owners that the nodes of the original have.

        Args:
            matches: Values of the two graphs.
            rows: The nodes of the original graph, by first outputs.
            tree: Of the original's calls.
            unread: The owner of nodes that nothing in the graph reads, and that have no counterpart.
        """
        self._new, self._matches, self._old = matches.new, matches, matches.old
        self._tree, self._rows, self._unread = tree, rows, unread
        self._by_span: dict[Span, CarriedOwner | None] = {}
        self.owners: dict[str, CarriedOwner] = {}
        """By the first outputs of the nodes."""
        sharing = self._nodes_of_spans()
        for key in reversed(self._new.nodes):
            span, region = matches.spans[key], matches.region(key)
            same = matches.same_operator.get(key)
            if same is not None:
                originals = sorted({same, *region.unmatched}, key=self._old.order)
                self.owners[key] = self._owner_of([same], originals)
            elif (value := self._reformed(key)) is not None:
                self.owners[key] = self._producer_of(key, value)
            elif key in self._new.data and (whole := self._region_owner(span, region)) is not None:
                certain = sharing[span] == 1 or self._needs_all(span, whole)
                if whole.spanned_calls and not certain and whole.confidence == "high":
                    whole = whole._replace(confidence="medium")
                many = sharing[span] > 1 and len(whole.originals) > MANY
                self.owners[key] = whole._replace(originals=()) if many else whole
            else:
                self.owners[key] = self._inherited(key)

    def _nodes_of_spans(self) -> Counter[Span]:
        """Count the computing nodes of each region that have no counterpart of the same operator."""
        return Counter(
            self._matches.spans[key]
            for key, node in self._new.nodes.items()
            if key not in self._matches.same_operator and node.op_type not in FORM_CHANGING and key in self._new.data
        )

    def _reformed(self, key: str) -> str | None:
        """Return the original's value that a node only turns from one form into another; None for another node."""
        counterpart = self._matches.counterpart
        value = counterpart.get(key)
        return value if any(counterpart.get(name) == value for name in self._new.reads[key]) else None

    def _producer_of(self, key: str, value: str) -> CarriedOwner:
        """Return the owner of the node that produced a value; of an input of the model, what its readers give."""
        producer = self._old.producer.get(value)
        if producer is None or producer not in self._rows:
            return self._inherited(key)
        return self._owner_of([producer], ())

    def _region_owner(self, span: Span, region: Region) -> CarriedOwner | None:
        """Return what all nodes of a region stand for together; None where the original computes nothing there."""
        if span not in self._by_span:
            nodes = region.unmatched or region.nodes
            fed = self._old.forward_slice(nodes, span[0]) or [key for key in nodes if key in self._old.data]
            computing = [key for key in fed if self._old.nodes[key].op_type not in FORM_CHANGING]
            self._by_span[span] = self._owner_of(computing or fed, nodes) if fed else None
        return self._by_span[span]

    def _needs_all(self, span: Span, whole: CarriedOwner) -> bool:
        """Say whether the results of a region are those of so many of its calls that no inner call is around them all."""
        producers = (self._old.producer.get(end) for end in span[1])
        ends = {row.owner for producer in producers if (row := self._rows.get(producer or ""))}
        return bool(ends) and ends <= set(whole.spanned_calls) and self._tree.common(ends) == whole.owner

    def _owner_of(self, deciding: Iterable[str], originals: Sequence[str]) -> CarriedOwner:
        """Return the common call of some nodes of the original, as uncertain as the least certain of them."""
        rows = [self._rows[key] for key in deciding]
        calls = sorted({row.owner for row in rows})
        confidence, known = weakest(row.confidence for row in rows), all(row.known for row in rows)
        return CarriedOwner(self._tree.common(calls), confidence, known, originals, calls if len(calls) > 1 else ())

    def _inherited(self, key: str) -> CarriedOwner:
        """Return the common call of the nodes that read a node, at most of medium confidence where there are several."""
        readers = [self.owners[reader] for reader in self._new.readers_of(key)]
        if not readers:
            return self._unread
        calls = {reader.owner for reader in readers}
        confidence = weakest(reader.confidence for reader in readers)
        if len(calls) > 1 and confidence == "high":
            confidence = "medium"
        return CarriedOwner(self._tree.common(calls), confidence, all(reader.known for reader in readers))
