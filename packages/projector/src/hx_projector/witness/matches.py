"""Nodes and operations that compute the same tensor, and what lies between those.

One node may stand for several operations (a convolution with the normalisation behind it), several nodes for one (a
product and a sum for a linear layer). So from a tied node we go back on both sides, to the next tensors that both know:
the operations passed are what the nodes passed compute.
"""

from __future__ import annotations

from hx_graph.call_tree import CallTree
from hx_projector.attribution.sources import Claim
from hx_projector.witness.graph import WitnessedGraph
from hx_projector.witness.operations import Observed
from hx_projector.witness.readers import Places
from hx_sidecar_schema import Observation


class Ties:
    """Nodes with the calls that made them.

    Args:
        graph: The graph with its values.
        observation: Of the run in PyTorch.
        tree: The calls.
    """

    def __init__(self, graph: WitnessedGraph, observation: Observation, tree: CallTree) -> None:
        self._graph = graph
        self._tree = tree
        self._seen = Observed(observation, graph.values)
        self._tied = self._find_tied()
        self.doubtful: set[str] = set()
        """Nodes that other calls can have made than the one that is claimed, wherever they lie."""
        self.claims = self._find_claims()
        """For nodes that compute what operations of one call do, and for those that one call alone can have made."""

    def certain(self) -> dict[str, int]:
        """Return nodes, by their first outputs, that one call alone made."""
        return {key: claim.owner for key, claim in self.claims.items() if claim.confidence == "high"}

    def covered(self, key: str) -> set[int]:
        """Return the calls of the operations that a node may stand for; none of one that is not tied itself."""
        return self._seen.covered(self._tied[key]) if key in self._tied else set()

    def _find_claims(self) -> dict[str, Claim]:
        telling = {key: rows for key, rows in self._tied.items() if self._tells(key, rows)}
        claims: dict[str, Claim] = {}
        for key, place in Places(self._graph, self._seen, telling).of.items():
            makers = self._seen.covered(self._tied[key]) if key in self._tied else place.makers
            if key in telling:
                # Where nodes above compute what PyTorch holds in another form, some of the operations are theirs.
                sure = len(makers) == 1 or not any(self._is_between(name) for name in self._graph.reads[key])
            else:
                sure = place.sure and len(makers) == 1 and makers == place.makers
            if sure:
                claims[key] = Claim(self._tree.common(makers), "high")
            elif makers:
                if key not in self._tied or len(makers) > 1:
                    self.doubtful.add(key)
                if key in self._tied or self._is_between(key):
                    claims[key] = Claim(self._tree.common(makers), "medium")
        return claims

    def _find_tied(self) -> dict[str, list[int]]:
        """Return nodes with the operations that compute the same, where those are of one call."""
        graph = self._graph
        rows: dict[str, list[int]] = {}
        for row, (operation, names) in enumerate(zip(self._seen.operations, self._seen.names, strict=True)):
            for name in names if operation.call is not None and not operation.value.constant else ():
                if name in graph.key and not self._seen.repeats(graph.reads[name], [row]):
                    rows.setdefault(graph.key[name], []).append(row)
        return {key: found for key, found in rows.items() if len(self._seen.calls(found)) == 1}

    def _tells(self, key: str, rows: list[int]) -> bool:
        """Say whether a value tells its operation by itself: masks of two numbers and ranges look like many others."""
        samples = (self._seen.operations[row].value.sample for row in rows)
        return key not in self._graph.asides and any(len(set(sample)) > 2 for sample in samples)

    def _is_between(self, name: str) -> bool:
        """Say whether a value depends on the numbers of an input, and PyTorch has no such tensor."""
        return name in self._graph.key and name not in self._graph.asides and name not in self._seen.known
