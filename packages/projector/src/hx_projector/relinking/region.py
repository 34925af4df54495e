"""The part of the original graph between corresponding values, and names that have others in them."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence

from hx_projector._graph_index import GraphIndex

Span = tuple[frozenset[str], frozenset[str]]
"""Values of the original around a node: the nearest corresponding ones that it derives from, and those that derive from it."""


class Region:
    """Nodes of the original between corresponding values."""

    def __init__(self, old: GraphIndex, nodes: Sequence[str], matched: Container[str]) -> None:
        """Index some nodes in topological order. Those that are matched have a counterpart of the same operator."""
        self.nodes = nodes
        self.members = frozenset(nodes)
        self.unmatched = [key for key in nodes if key not in matched]
        self._by_operator: dict[str, list[str]] = {}
        self._by_weight: dict[tuple[str, str], set[str]] = {}
        for key in self.unmatched:
            operator = old.nodes[key].op_type
            self._by_operator.setdefault(operator, []).append(key)
            for weight in old.weights_of(key):
                self._by_weight.setdefault((operator, weight), set()).add(key)

    def only(self, operator: str, weights: Iterable[str]) -> str | None:
        """Return the unmatched node that is the only one of an operator to read any of the weights.

        Where not exactly one reads any, the only one of the operator; None where there are several of it, or none.
        """
        sharing = set[str]().union(*(self._by_weight.get((operator, weight), ()) for weight in weights))
        alike = sharing if len(sharing) == 1 else self._by_operator.get(operator, ())
        return next(iter(alike)) if len(alike) == 1 else None


def name_inside(name: str, known: Container[str]) -> str | None:
    """Return the longest of the known names that a name begins or ends with, set off by what is no letter or digit."""
    breaks = [match.start() for match in re.finditer(r"[^A-Za-z0-9]", name)]
    parts = [*(name[:end] for end in breaks), *(name[start + 1 :] for start in breaks)]
    return max((part for part in parts if part in known), key=len, default=None)
