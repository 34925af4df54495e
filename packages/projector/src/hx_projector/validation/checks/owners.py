"""Whether consumers are those of the graph, and disagreements fit the owners."""

from __future__ import annotations

from collections.abc import Iterator

from hx_graph import consumer_calls
from hx_projector.validation.findings import Finding
from hx_projector.validation.pair import ModelAndSidecar, listed, node_name


def expected_consumers(pair: ModelAndSidecar) -> list[list[int]]:
    """Return, for each row of a node, the calls outside its owner's subtree that read its outputs."""
    rows = pair.sidecar.nodes
    nodes = [pair.found[row.graph, row.output] for row in rows]
    return consumer_calls(nodes, [row.owner for row in rows], pair.tree.end)


def node_consumers(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that consumers are those that the graph has (V40)."""
    for row, expected in zip(pair.sidecar.nodes, expected_consumers(pair), strict=True):
        if row.consumers != expected:
            recorded, found = (listed(map(pair.call_name, rows)) or "nobody" for rows in (row.consumers, expected))
            verb = "reads" if len(expected) < 2 else "read"
            message = f"Its consumers are {recorded}; in the graph {found} {verb} it."
            yield Finding.of("V40", node_name(row.graph, row.output), message)


def disagreements(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that a disagreement is about a node of the main graph, and that the stronger source decided (V43)."""
    nodes = {row.output: row for row in pair.sidecar.nodes if not row.graph}
    for row in pair.sidecar.disagreements:
        node = nodes.get(row.output)
        if node is None:
            yield Finding.of("V43", row.output, "A disagreement is about it; the main graph has no such node.")
        elif node.owner != row.owner and node.known:
            decided, owner = pair.call_name(row.owner), pair.call_name(node.owner)
            message = f"`{row.evidence}` gave it to {decided!r}; the owner is {owner!r}."
            yield Finding.of("V43", row.output, message)
        elif row.owner == row.other:
            yield Finding.of("V43", row.output, "Both sources name the same call.")
