"""What a source of evidence is given, and what it returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hx_graph import CallTree
from hx_projector._graph_index import GraphIndex
from hx_sidecar_schema import Confidence, ModuleContext


class Claim(NamedTuple):
    """Which call made a node, as one source has it: its row."""

    owner: int
    confidence: Confidence


Claims = Mapping[str, Claim]
"""By the first outputs of nodes of the main graph."""


@dataclass(frozen=True)
class AttributionInput:
    """What a source may look at."""

    graph: GraphIndex
    """The main graph; its nodes are in topological order."""
    context: ModuleContext
    """What the tracer saw."""
    tree: CallTree
    """Its calls."""
    stronger: Claims
    """Claims of the sources that were asked before."""
    witness: Claims
    """Claims of the witness; empty where there is no observation."""


Source = Callable[[AttributionInput], Claims]
