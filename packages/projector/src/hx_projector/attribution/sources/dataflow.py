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

from hx_graph import is_size_query, output_of, reads
from hx_projector.attribution.sources.claim import AttributionInput, Claim, Claims


def claim_by_dataflow(given: AttributionInput) -> Claims:
    """Claim the nodes that no stronger source claims, by those around them.

    * Of data: the common call of the claimed nodes above and below; medium where both are that very call, else low. The
      root, low, where a side is open.
    * Of no data: the common call of its readers; medium where they are of one call and none is low, else low.
    * A copy of a model input that is a model output: the root, medium. Exporters copy what `forward` returns unchanged.
    """
    unclaimed = [node for node in given.nodes if output_of(node) not in given.stronger]
    return _Dataflow(given, unclaimed).claims() if unclaimed else {}


class _Dataflow:
    """The claimed nodes around every node; nodes go by their first outputs."""

    def __init__(self, given: AttributionInput, unclaimed: list[ir.Node]) -> None:
        self._nodes, self._tree, self._stronger = given.nodes, given.tree, given.stronger
        self._unclaimed = unclaimed
        self._producer = {
            out.name: output_of(node) for node in given.nodes for out in node.outputs if out.name
        }
        graph = unclaimed[0].graph
        inputs = (value.name for value in graph.inputs if not value.is_initializer()) if graph else ()
        self._data = set(filter(None, inputs))
        self._readers: dict[str, list[str]] = {}
        """Of a value, the nodes."""
        for node in given.nodes:
            names = reads(node)
            for name in names:
                self._readers.setdefault(name, []).append(output_of(node))
            if not is_size_query(node) and any(name in self._data for name in names):
                self._data.update(out.name for out in node.outputs if out.name)
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

    def claims(self) -> dict[str, Claim]:
        claims: dict[str, Claim] = {}
        for node in self._unclaimed:
            if self._produces_data(node):
                claim = self._claim_between(output_of(node))
                if claim is not None:
                    claims[output_of(node)] = claim
        for node in reversed(self._unclaimed):
            if not self._produces_data(node):
                claim = self._claim_for_readers(node, claims)
                if claim is not None:
                    claims[output_of(node)] = claim
        claims.update((output_of(node), Claim(0, "medium")) for node in self._unclaimed if _hands_on(node))
        return claims

    def _trace_down(self) -> None:
        for node in self._nodes:
            key = output_of(node)
            if key in self._stronger:
                self._above[key] = self._stronger[key].owner
                continue
            sources = [self._producer.get(name) for name in reads(node) if name in self._data]
            self._above[key] = self._common(self._above[source] for source in sources if source is not None)
            if any(source is None or source in self._open_above for source in sources):
                self._open_above.add(key)

    def _trace_up(self) -> None:
        for node in reversed(self._nodes):
            key = output_of(node)
            if key in self._stronger:
                self._below[key] = self._stronger[key].owner
                continue
            readers = self._readers_of(node)
            calls = {self._below[reader] for reader in readers}
            self._below[key] = self._common(calls)
            handed_out = any(out.is_graph_output() for out in node.outputs)
            if len(calls) != 1 or handed_out or any(reader in self._open_below for reader in readers):
                self._open_below.add(key)

    def _claim_between(self, key: str) -> Claim | None:
        above, below = self._above[key], self._below[key]
        owner = self._common((above, below))
        if owner is None:
            return None
        if above is None or below is None or key in self._open_above or key in self._open_below:
            return Claim(0, "low")
        return Claim(owner, "medium" if above == below else "low")

    def _claim_for_readers(self, node: ir.Node, found: Claims) -> Claim | None:
        readers = [
            claim
            for reader in self._readers_of(node)
            if (claim := self._stronger.get(reader) or found.get(reader)) is not None
        ]
        if not readers:
            return None
        owners = {claim.owner for claim in readers}
        handed_out = any(out.is_graph_output() for out in node.outputs)
        certain = len(owners) == 1 and not handed_out and all(claim.confidence != "low" for claim in readers)
        return Claim(self._tree.common(owners), "medium" if certain else "low")

    def _produces_data(self, node: ir.Node) -> bool:
        return any(out.name in self._data for out in node.outputs)

    def _readers_of(self, node: ir.Node) -> list[str]:
        return [reader for out in node.outputs for reader in self._readers.get(out.name or "", ())]

    def _common(self, calls: Iterable[int | None]) -> int | None:
        known = {call for call in calls if call is not None}
        return self._tree.common(known) if known else None


def _hands_on(node: ir.Node) -> bool:
    """Say whether a node only copies an input of the model to an output."""
    if node.op_type != "Identity" or not node.inputs:
        return False
    source, out = node.inputs[0], node.outputs[0]
    return source is not None and source.is_graph_input() and out.is_graph_output()
