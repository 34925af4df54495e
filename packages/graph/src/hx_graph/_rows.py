"""The rows of a sidecar: the tree of its calls, and whether they are those of a model's nodes."""

from collections.abc import Iterable, Iterator, Sequence

import onnx_ir as ir

from hx_graph._nested import all_nodes, output_of
from hx_sidecar_schema import ForeignSidecar, ModuleCall, Sidecar, subtree_ends


class CallTree:
    """Calls in pre-order: a subtree is a range of rows, from a call to its `end`."""

    def __init__(self, calls: Sequence[ModuleCall]) -> None:
        self.parent = [call.parent for call in calls]
        self.end = subtree_ends(self.parent)

    def contains(self, row: int, other: int) -> bool:
        """Say whether `other` is `row` or was called below it."""
        return row <= other < self.end[row]

    def leaving(self, row: int | None, other: int | None) -> Iterator[int]:
        """Yield a call and those around it that do not hold another call; all of them where that is None."""
        while row is not None and (other is None or not self.contains(row, other)):
            yield row
            row = self.parent[row]

    def common(self, rows: Iterable[int]) -> int:
        """Return the innermost call that all rows lie in; rows must not be empty."""
        rest = list(rows)
        low, high = min(rest), max(rest)
        current: int | None = low
        while current is not None and not self.contains(current, high):
            current = self.parent[current]
        return current or 0


def check_rows(model: ir.Model, sidecar: Sidecar) -> None:
    """Refuse a sidecar that lacks a row of a node, or has one of a node that the model does not have.

    Raises:
        HxError: HX203 with the first such node.
    """
    rows = {(row.graph, row.output) for row in sidecar.nodes}
    nodes = {(path, output_of(node)) for path, node in all_nodes(model)}
    odd = next(iter(sorted(rows ^ nodes)), None)
    if odd is not None:
        says = "has a row of node {!r}, which the model does not have" if odd in rows else "says nothing of node {!r}"
        raise ForeignSidecar(
            f"Sidecar of {sidecar.model.file!r} {says.format(odd[1])}.", hint="Export the model again."
        )
