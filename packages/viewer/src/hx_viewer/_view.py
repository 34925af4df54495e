"""One exported model as a viewer shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from hx_sidecar_schema import Sidecar, namespaces

if TYPE_CHECKING:
    from hx_extractor import Hierarchy
    from hx_viewer._column import Column
    from hx_viewer._graphs import GraphView

INFERRED_NODES = 20_000
"""ONNX's inference takes 25 s on a graph of 100,000 nodes without types (onnx 1.23)."""


@dataclass(frozen=True)
class View:
    """A model with its hierarchy and the numbers that are known of it: all that a viewer draws.

    Rows are those of the sidecar everywhere: `view.sidecar.calls[row]` has a call's ports with types and shapes, in execution order
    and a parent before its children, `view.sidecar.nodes[row]` a node's owner, evidence and confidence. The tree with the calls that
    never ran, and with nodes and weights of each, is `view.hierarchy.tree(everything=True)`.
    """

    hierarchy: Hierarchy
    columns: Sequence[Column] = field(default=())
    """Numbers by name, in the order in which they are shown; no two of one name."""
    against: View | None = None
    """Another model, or the same with other numbers, whose calls are compared with this one's: before a change, or not quantised."""

    @property
    def sidecar(self) -> Sidecar:
        """Modules, calls, nodes and weights."""
        return self.hierarchy.sidecar

    @cached_property
    def namespaces(self) -> list[str]:
        """For each call its path, one segment a call, `/` between; empty for the root."""
        return namespaces(self.sidecar)

    @cached_property
    def graphs(self) -> dict[str, GraphView]:
        """The graphs by path, the main graph first; the model is read when they are asked for first.

        Types that its file leaves out, as optimisers do, are inferred, if it has no more than `INFERRED_NODES`. A model in memory is left as it is.

        Raises:
            HxError: As `Hierarchy.model`.
        """
        from hx_graph import infer_types
        from hx_viewer._graphs import graphs_of

        model = self.hierarchy.model
        if self.hierarchy.path is not None and len(self.sidecar.nodes) <= INFERRED_NODES:
            infer_types(model)
        return graphs_of(model, self.sidecar)

    def column(self, name: str) -> Column | None:
        """Return the numbers of that name; None where they were not given."""
        return next((column for column in self.columns if column.name == name), None)
