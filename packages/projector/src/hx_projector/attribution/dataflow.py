"""Owners by position: a node between nodes that stronger sources claim belongs to the call that these have in common.

Data are the values that depend on the model's inputs other than through sizes. A node that produces data has claimed nodes
above it, where its data comes from, and below it, where its results go. A node that produces no data, a constant or a
size, serves the nodes that read it.

What comes from the model's own inputs without a claimed node between, or reaches an output of the model so, is open on
that side: the root may have made it. Every claim is thus at most of medium confidence.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from hx_projector._claims import AttributionInput, Claim, Claims


def claim_by_dataflow(given: AttributionInput) -> Claims:
    """Claim the nodes that no stronger source claims, by those around them.

    * Of data: the common call of the claimed nodes above and below; medium where both are that very call, else low. The
      root, low, where a side is open.
    * Of no data: the common call of its readers; medium where they are of one call and none is low, else low.
    * A copy of a model input that is a model output: the root, medium. Exporters copy what `forward` returns unchanged.
    """
    unclaimed = [key for key in given.graph.nodes if key not in given.stronger]
    return _Dataflow(given).claims(unclaimed) if unclaimed else {}


class _Dataflow:
    """The claimed nodes around every node; nodes go by their first outputs."""

    def __init__(self, given: AttributionInput) -> None:
        self._graph, self._tree, self._stronger = given.graph, given.tree, given.stronger
        self._above: dict[str, int | None] = {}
        """Common call of the claimed nodes that a node's data comes from; None where it comes from none."""
        self._open_above: set[str] = set()
        """Nodes whose data also comes from a model input, past all claimed nodes."""
        self._below: dict[str, int | None] = {}
        """Common call of the claimed nodes that a node's results go to; None where they go to none."""
        self._open_below: set[str] = set()
        """Nodes whose results go to several calls, or to an output of the model."""
        self._trace_down()
        self._trace_up()

    def claims(self, unclaimed: list[str]) -> dict[str, Claim]:
        data = [key for key in unclaimed if key in self._graph.data]
        claims = {key: claim for key in data if (claim := self._claim_between(key)) is not None}
        for key in reversed(unclaimed):
            if key not in self._graph.data and (claim := self._claim_for_readers(key, claims)) is not None:
                claims[key] = claim
        claims.update((key, Claim(0, "medium")) for key in unclaimed if _hands_on(self._graph.nodes[key]))
        return claims

    def _trace_down(self) -> None:
        graph = self._graph
        for key, names in graph.reads.items():
            if key in self._stronger:
                self._above[key] = self._stronger[key].owner
                continue
            sources = [graph.producer.get(name) for name in names if name in graph.data]
            self._above[key] = self._common(self._above[source] for source in sources if source is not None)
            if any(source is None or source in self._open_above for source in sources):
                self._open_above.add(key)

    def _trace_up(self) -> None:
        for key in reversed(self._graph.nodes):
            if key in self._stronger:
                self._below[key] = self._stronger[key].owner
                continue
            readers = self._graph.readers_of(key)
            calls = {self._below[reader] for reader in readers}
            self._below[key] = self._common(calls)
            if len(calls) != 1 or self._graph.is_handed_out(key) or not self._open_below.isdisjoint(readers):
                self._open_below.add(key)

    def _claim_between(self, key: str) -> Claim | None:
        above, below = self._above[key], self._below[key]
        owner = self._common((above, below))
        if owner is None:
            return None
        if above is None or below is None or key in self._open_above or key in self._open_below:
            return Claim(0, "low")
        return Claim(owner, "medium" if above == below else "low")

    def _claim_for_readers(self, key: str, found: Claims) -> Claim | None:
        claims = (self._stronger.get(reader) or found.get(reader) for reader in self._graph.readers_of(key))
        readers = [claim for claim in claims if claim is not None]
        if not readers:
            return None
        owners = {claim.owner for claim in readers}
        low = any(claim.confidence == "low" for claim in readers)
        certain = len(owners) == 1 and not self._graph.is_handed_out(key) and not low
        return Claim(self._tree.common(owners), "medium" if certain else "low")

    def _common(self, rows: Iterable[int | None]) -> int | None:
        known = {row for row in rows if row is not None}
        return self._tree.common(known) if known else None


def _hands_on(node: ir.Node) -> bool:
    """Say whether a node only copies an input of the model to an output."""
    if node.op_type != "Identity" or not node.inputs:
        return False
    source, out = node.inputs[0], node.outputs[0]
    return source is not None and source.is_graph_input() and out.is_graph_output()
